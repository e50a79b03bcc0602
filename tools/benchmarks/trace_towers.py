"""Traces a training step of two towers: when devices are busy, what they exchange.

    python tools/benchmarks/trace_towers.py --image=towers.png       # two logical CPUs
    python tools/benchmarks/trace_towers.py --tower_devices=/GPU:0,/GPU:1
    python tools/benchmarks/trace_towers.py --tower_devices=/GPU:0,/GPU:1 --logical_gpus=2

prints for how many seconds the first device, the second device, and both at once have
an operation running. It also prints every tensor that TensorFlow sends from one device
to the other, with its bytes. On CPUs, the operations' time on the host is their time on
the device; on GPUs it is the time at which they are issued. The image needs matplotlib
(pip install matplotlib).
"""

import json
import pathlib
import re
from typing import NamedTuple

import numpy as np
import synthetic
import tensorflow as tf
from absl import app, flags

from alexnet_tf.models import devices, zoo

_DEVICES = flags.DEFINE_list("tower_devices", "/CPU:0,/CPU:1", "One device per tower.")
_GPUS = flags.DEFINE_integer(
    "logical_gpus", 1, "Into how many devices to split the first GPU."
)
_BATCH = flags.DEFINE_integer("batch_size", 32, "Images per step.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 5, "Number of traced steps.", lower_bound=1)
_PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "tf32", "bfloat16"], "The type to compute in."
)
_IMAGE = flags.DEFINE_string("image", None, "PNG file for a chart of the last step.")
_JSON = flags.DEFINE_string("json", None, "File to write the results to.")


_LAYER = re.compile(r"(conv\d|fc\d)")
_TRANSFERS = ("_Send", "_Recv")


class Event(NamedTuple):
    """One run of an operation: its name in the graph, its type, its time in seconds."""

    name: str
    kind: str
    start_s: float
    end_s: float


def traced(function) -> list[Event]:
    """Calls `function` under TensorFlow's profiler; returns the operations that ran."""
    events = []
    for line, event, name in synthetic.profiled(function):
        name, colon, kind = name.partition(":")
        if colon and re.fullmatch(r"[A-Z_][\w>]*", kind):
            start_s = line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12
            end_s = start_s + event.duration_ps * 1e-12
            events.append(Event(name, kind, start_s, end_s))
    return events


def crossings(events: list[Event]) -> set[str]:
    """Names of the operations whose outputs were sent from one device to another."""
    return {re.sub(r"/_\d+$", "", e.name) for e in events if e.kind == "_Send"}


def busy(events: list[Event], device_of: dict[str, str]) -> dict[str, list]:
    """Device -> the spans (start, end) in which it has an operation running.

    `device_of` has the device of every operation in the traced graph. The placed and
    fused graph that runs keeps these names.
    """
    spans: dict[str, list] = {}
    for event in sorted(events, key=lambda e: e.start_s):
        device = device_of.get(event.name)
        if device is None or event.kind in _TRANSFERS:
            continue
        own = spans.setdefault(device, [])
        if own and event.start_s <= own[-1][1]:
            own[-1][1] = max(own[-1][1], event.end_s)
        else:
            own.append([event.start_s, event.end_s])
    return spans


def common(one: list, other: list) -> float:
    """Seconds that are in spans of both."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in one for b in other)


def total(spans: list) -> float:
    return sum(end - start for start, end in spans)


def seconds_of(spans: dict[str, list], pair: list[str]) -> dict[str, float]:
    """Seconds of the step, of each device, and of both devices at once."""
    one, other = (spans[name] for name in pair)  # the host may have spans too
    ends = [moment for own in spans.values() for span in own for moment in span]
    return {
        "step_s": max(ends) - min(ends),
        **{f"{name}_s": total(spans[name]) for name in pair},
        "both_s": common(one, other),
    }


def crossed_bytes(
    events: list[Event], graph: tf.Graph, device_of: dict[str, str]
) -> dict[str, int | None]:
    """Operation -> bytes of its output that was sent; None if that cannot be known."""
    crossed: dict[str, int | None] = {}
    for name in sorted(crossings(events)):
        crossed[name] = None
        if name in device_of and not name.startswith("Group"):
            tensor = graph.get_operation_by_name(name).outputs[0]
            crossed[name] = tensor.shape.num_elements() * tensor.dtype.size
    return crossed


def draw(path: str, events: list[Event], device_of: dict[str, str]) -> None:
    """Draws the operations of each device's layers over the time of one step."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    start = min(e.start_s for e in events)
    layers = sorted({m[1] for e in events if (m := _LAYER.search(e.name))})
    colors = dict(zip(layers, pyplot.colormaps["tab10"].colors, strict=False))
    figure, axes = pyplot.subplots(figsize=(10, 2.4), layout="constrained")
    rows = sorted(set(device_of.values()))
    for event in events:
        layer = _LAYER.search(event.name)
        if event.name in device_of and layer and event.kind not in _TRANSFERS:
            axes.barh(
                rows.index(device_of[event.name]),
                1e3 * (event.end_s - event.start_s),
                left=1e3 * (event.start_s - start),
                height=0.7,
                color=colors[layer[1]],
                alpha=0.5 if event.name.startswith("gradients") else 1.0,
            )
    axes.set_yticks(range(len(rows)), rows)
    axes.invert_yaxis()
    axes.set_xlabel("milliseconds of one step; the backward pass is pale")
    handles = [pyplot.Rectangle((0, 0), 1, 1, color=colors[name]) for name in layers]
    figure.legend(handles, layers, loc="outside upper center", ncols=len(layers))
    figure.savefig(path, dpi=110)


def two_devices() -> list[str]:
    """The devices of --tower_devices, once TensorFlow is configured to have them."""
    pair = list(map(devices.canonical, _DEVICES.value))
    if len(pair) != 2 or pair[0] == pair[1]:
        raise app.UsageError(
            f"--tower_devices must be two different devices, got {pair}"
        )
    cpus = sum(name.startswith("CPU") for name in pair)
    devices.configure(max(1, cpus), _GPUS.value)
    return pair


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    pair = two_devices()
    precision = devices.precision(_PRECISION.value)
    devices.allow_tf32(precision == "tf32")
    net = zoo.PAPER
    run, step = synthetic.traced_step(
        net, devices.resolve(pair, net.towers), precision, _BATCH.value
    )
    device_of = {
        op.name: devices.canonical(op.device)
        for op in step.graph.get_operations()
        if op.device
    }
    for _ in range(2):  # compiles, and fills memory pools
        run()

    figures = []
    for _ in range(_STEPS.value):
        events = traced(run)
        figures.append(seconds_of(busy(events, device_of), pair))
    medians = {k: float(np.median([f[k] for f in figures])) for k in figures[0]}
    for name, seconds in medians.items():
        print(f"{name:10} {1e3 * seconds:8.1f} ms")
    crossed = crossed_bytes(events, step.graph, device_of)
    for name, size in crossed.items():
        print(f"{'':18}  {name}" if size is None else f"{size:12,} bytes  {name}")
    if _IMAGE.value:
        draw(_IMAGE.value, events, device_of)
    if _JSON.value:
        report = {
            "batch_size": _BATCH.value,
            "seconds": medians,
            "crossed_bytes": {
                n: size for n, size in crossed.items() if size is not None
            },
        }
        pathlib.Path(_JSON.value).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
