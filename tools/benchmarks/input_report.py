"""Judges what tools/benchmarks/input.py measured, and names the bottleneck."""

from collections.abc import Mapping

import input_loaders
import limits
import timing

LEAST_RATES = {"jpeg": 2000, "raw": 10_000}  # images per second and core
LEAST_REAL = 0.95  # of the speed on one batch in memory
MOST_PREPROCESSING = 0.05  # of a step


def judge(
    rates: Mapping[str, float], step_s: Mapping[str, float]
) -> list[limits.Limit]:
    """Every limit; those on training steps only if steps were timed."""
    judged = [
        limits.at_least(f"{kind}, images/s per core", rates[kind], least)
        for kind, least in LEAST_RATES.items()
    ]
    for name in sorted(input_loaders.PEERS.keys() & rates.keys()):
        judged.append(
            limits.more_than(f"jpeg / {name}", rates["jpeg"] / rates[name], 1)
        )
    if step_s:
        speed = step_s["synthetic"] / step_s["real"]
        judged.append(limits.at_least("real / synthetic speed", speed, LEAST_REAL))
        share = step_s["preprocessing"] / step_s["synthetic"]
        judged.append(limits.at_most("preprocessing / step", share, MOST_PREPROCESSING))
    return judged


def bottleneck(rates: Mapping[str, float], step_s: Mapping[str, float]) -> str:
    """What limits the speed of training, or of the input if no step was timed."""
    slowest = min(("read jpeg", "decode"), key=rates.__getitem__).split()[0]
    if not step_s:
        return f"bottleneck of the input: {slowest}"
    cores = timing.cores()
    wanted = input_loaders.BATCH / step_s["synthetic"]
    if rates["jpeg"] * cores < wanted:
        return f"bottleneck: the input, namely {slowest}"
    return (
        f"bottleneck: the model, which takes {wanted:.0f} images/s of the "
        f"{rates['jpeg'] * cores:.0f} that {cores} cores could deliver"
    )
