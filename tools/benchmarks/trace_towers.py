# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Traces a training step of two towers on two devices: when each is busy, what crosses.

    python tools/benchmarks/trace_towers.py --picture=towers.png     # two logical processors
    python tools/benchmarks/trace_towers.py --tower_devices=/GPU:0,/GPU:1
    python tools/benchmarks/trace_towers.py --tower_devices=/GPU:0,/GPU:1 --logical_gpus=2

Prints the seconds in which one tower, the other, and both at once have an operation under
way, and every tensor that TensorFlow sends from one device to the other, with its bytes.
On processors the operations' host time is the devices' time; on GPUs it is the time at
which they are issued. The picture needs matplotlib (pip install matplotlib).
"""

import json
import pathlib
import re
from typing import NamedTuple

import numpy as np
import synthetic
from absl import app, flags

from alexnet_tf.models import devices, zoo

_DEVICES = flags.DEFINE_list("tower_devices", "/CPU:0,/CPU:1", "A device a tower.")
_GPUS = flags.DEFINE_integer("logical_gpus", 1, "Devices the first GPU is split into.")
_MIB = flags.DEFINE_integer("logical_gpu_mib", 4096, "Memory of each of them in MiB.")
_BATCH = flags.DEFINE_integer("batch_size", 32, "Pictures a step.", lower_bound=1)
_STEPS = flags.DEFINE_integer("steps", 5, "Traced steps.", lower_bound=1)
_PRECISION = flags.DEFINE_enum(
    "precision", "float32", ["float32", "tf32", "bfloat16"], "Compute type."
)
_PICTURE = flags.DEFINE_string("picture", None, "Where to draw the last step, PNG.")
_JSON = flags.DEFINE_string("json", None, "Where to write the figures.")


class Event(NamedTuple):
    """One operation's run: its name in the graph, its type, and when, in seconds."""

    name: str
    kind: str
    start_s: float
    end_s: float


def traced(function) -> list[Event]:
    """Calls `function` under TensorFlow's profiler; the operations that ran."""
    events = []
    for line, event, name in synthetic.profiled(function):
        name, colon, kind = name.partition(":")
        if colon and re.fullmatch(r"[A-Z_][\w>]*", kind):
            start_s = line.timestamp_ns * 1e-9 + event.offset_ps * 1e-12
            end_s = start_s + event.duration_ps * 1e-12
            events.append(Event(name, kind, start_s, end_s))
    return events


def crossings(events: list[Event]) -> set[str]:
    """The tensors that went from one device to another, by the operation they are of."""
    return {re.sub(r"/_\d+$", "", e.name) for e in events if e.kind == "_Send"}


def busy(events: list[Event], devices: dict[str, str]) -> dict[str, list]:
    """Device -> the spans (start, end) in which it has an operation under way.

    `devices`: operation -> device, of the traced graph, whose names the placed and
    fused graph keeps.
    """
    spans: dict[str, list] = {}
    for event in sorted(events, key=lambda e: e.start_s):
        device = devices.get(event.name)
        if device is None or event.kind in ("_Send", "_Recv"):
            continue
        own = spans.setdefault(device, [])
        if own and event.start_s <= own[-1][1]:
            own[-1][1] = max(own[-1][1], event.end_s)
        else:
            own.append([event.start_s, event.end_s])
    return spans


def common(one: list, other: list) -> float:
    """Seconds that lie in spans of both."""
    return sum(max(0.0, min(a[1], b[1]) - max(a[0], b[0])) for a in one for b in other)


def total(spans: list) -> float:
    return sum(end - start for start, end in spans)


def draw(path: str, events: list[Event], devices: dict[str, str]) -> None:
    """The convolutions and products of each device over the time of one step."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    start = min(e.start_s for e in events)
    layers = sorted(
        {m[1] for e in events if (m := re.search(r"(conv\d|fc\d)", e.name))}
    )
    colors = dict(zip(layers, pyplot.colormaps["tab10"].colors, strict=False))
    figure, axes = pyplot.subplots(figsize=(10, 2.4), layout="constrained")
    rows = sorted(set(devices.values()))
    for event in events:
        layer = re.search(r"(conv\d|fc\d)", event.name)
        if event.name in devices and layer and event.kind not in ("_Send", "_Recv"):
            axes.barh(
                rows.index(devices[event.name]),
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


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    pair = list(map(devices.canonical, _DEVICES.value))
    if len(set(pair)) != 2:
        raise app.UsageError(f"--tower_devices must be two devices, got {pair}")
    cpus = sum(name.startswith("CPU") for name in pair)
    devices.configure(max(1, cpus), _GPUS.value, _MIB.value)
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
    for _ in range(2):  # compiles, fills pools
        run()

    figures = []
    for _ in range(_STEPS.value):
        events = traced(run)
        spans = busy(events, device_of)
        one, other = (spans[name] for name in pair)  # the host may have spans too
        ends = [s for own in spans.values() for span in own for s in span]
        figures.append(
            {
                "step_s": max(ends) - min(ends),
                **{f"{name}_s": total(spans[name]) for name in pair},
                "both_s": common(one, other),
            }
        )
    medians = {k: float(np.median([f[k] for f in figures])) for k in figures[0]}
    for name, seconds in medians.items():
        print(f"{name:10} {1e3 * seconds:8.1f} ms")

    crossed = {}
    for name in sorted(crossings(events)):
        if name in device_of and not name.startswith("Group"):
            tensor = step.graph.get_operation_by_name(name).outputs[0]
            crossed[name] = tensor.shape.num_elements() * tensor.dtype.size
            print(f"{crossed[name]:12,} bytes  {name}")
        else:
            print(f"{'':12}         {name}")
    if _PICTURE.value:
        draw(_PICTURE.value, events, device_of)
    if _JSON.value:
        report = {
            "batch_size": _BATCH.value,
            "seconds": medians,
            "crossed_bytes": crossed,
        }
        pathlib.Path(_JSON.value).write_text(json.dumps(report, indent=1) + "\n")


if __name__ == "__main__":
    app.run(main)
