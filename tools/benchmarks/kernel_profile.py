"""Lists the kernels of a training step by their share of its time on a device.

    python tools/benchmarks/kernel_profile.py --device=/GPU:0 --batch=1024

profiles ten deterministic steps in bfloat16 with TensorFlow's profiler. On a CPU, which
has no kernels of its own kind, it lists TensorFlow's operations.
"""

import argparse
import collections
from collections.abc import Sequence

import synthetic
import tensorflow as tf

from alexnet_tf.models import devices, zoo

STEPS = 10
SHOWN = 20


def ran_on(device: str, events: Sequence[tuple]) -> list[tuple[str, float]]:
    """(name, seconds) of every kernel or operation among a profile's events."""
    found = []
    for line, event, name in events:
        if "GPU" in device:
            # The other lines repeat the kernels, by operation or by step.
            wanted = line.name.startswith("Stream")
        else:
            # An operation is named conv1/Conv2D:Conv2D, and the executor Executor::Run.
            place, _, kind = name.rpartition(":")
            wanted = bool(place) and "::" not in name and "__inference" not in kind
            name = kind
        if wanted:
            found.append((name, event.duration_ps * 1e-12))
    return found


def table(ran: Sequence[tuple[str, float]], steps: int) -> list[str]:
    """Lines of share, milliseconds and calls per step, largest share first.

    Example:
        >>> print(*table([("a", 0.001), ("b", 0.006), ("a", 0.002)], 1)[1:], sep="\\n")
         66.7 %    6.000       1  b
         33.3 %    3.000       2  a
    """
    seconds: dict[str, float] = collections.Counter()
    calls: dict[str, int] = collections.Counter()
    for name, taken_s in ran:
        seconds[name] += taken_s
        calls[name] += 1
    total = sum(seconds.values())
    lines = ["  share  ms/step   calls  kernel"]
    for name in sorted(seconds, key=lambda name: -seconds[name])[:SHOWN]:
        lines.append(
            f"{100 * seconds[name] / total:5.1f} % {1e3 * seconds[name] / steps:8.3f} "
            f"{calls[name] / steps:7.0f}  {name[:70]}"
        )
    return lines


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="/GPU:0")
    parser.add_argument("--net", default="paper")
    parser.add_argument("--batch", type=int, default=1024)
    flags = parser.parse_args()
    devices.configure()
    devices.resolve([flags.device], 1)
    tf.config.experimental.enable_op_determinism()
    net = zoo.find(flags.net)
    run, _ = synthetic.traced_step(
        net, [flags.device] * net.towers, "bfloat16", flags.batch, on=flags.device
    )
    for _ in range(3):
        run()
    plane = "/device:GPU:0" if "GPU" in flags.device else "/host:CPU"
    events = synthetic.profiled(lambda: [run() for _ in range(STEPS)], plane)
    ran = ran_on(flags.device, events)
    if not ran:
        raise SystemExit(
            f"the profile has no kernel of {flags.device}: TensorFlow needs CUPTI, "
            "which pip install 'tensorflow[and-cuda]' brings"
        )
    for line in table(ran, STEPS):
        print(f"result: {line}")


if __name__ == "__main__":
    main()
