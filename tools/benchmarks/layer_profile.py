"""How the time of a training step is divided among the layers."""

import collections
import re
from collections.abc import Callable

import synthetic

PASSES = ("forward", "backward", "update")


def place_of(op: str) -> tuple[str, str] | None:
    """(layer, pass) of an operation in a profile; None if it is not an operation."""
    if op == "CpuExecutable::ExecuteAsyncOnStream":  # XLA: preprocessing of the images
        return "input", "forward"
    name, _, kind = op.rpartition(":")
    if not name or "::" in op or "__inference" in kind:
        return None
    if "DecayedMomentum" in kind:
        return "update", "update"
    layer = re.search(r"(conv\d|fc\d)", name)
    place = layer[1] if layer else "loss"
    # The gradient of an LRN may be named after the ReLU in front of it.
    name += kind.lower()
    way = "backward" if name.startswith("gradients") else "forward"
    if kind == "Cast":
        return "casts", way
    if "responsenormalization" in name:
        place += " lrn"
    elif "maxpool" in name:
        place += " pool"
    return place, way


def shares_of_layers(step: Callable[[], object]) -> dict[str, dict[str, float]]:
    """Layer -> pass -> its share of a step.

    Two operations run at a time, so these are shares of the time of all operations.
    """
    sums: dict = collections.defaultdict(lambda: collections.defaultdict(float))
    for _, event, name in synthetic.profiled(step):
        place = place_of(name)
        if place:
            layer, way = place
            sums[layer][way] += event.duration_ps
    total = sum(sum(passes.values()) for passes in sums.values())
    return {
        layer: {way: time_ps / total for way, time_ps in passes.items()}
        for layer, passes in sums.items()
    }


def draw(layers: dict[str, dict[str, float]], path: str) -> None:
    """Draws the seconds per layer and pass of a step as bars."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    names = sorted(layers)
    figure, axes = pyplot.subplots(figsize=(8, 5))
    left = [0.0] * len(names)
    for way in PASSES:
        widths = [1e3 * layers[name].get(way, 0.0) for name in names]
        axes.barh(names, widths, left=left, label=way)
        left = [a + b for a, b in zip(left, widths, strict=True)]
    axes.invert_yaxis()
    axes.set_xlim(0, 1.05 * max(left))
    axes.set_xlabel("milliseconds of a step")
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=100)
