# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Bytes that a worker sends a step, for three ways to spread the net over workers.

    python tools/studies/exchange.py             # the tables of docs/scale.md, in Markdown

data       each worker has the whole net and its share of the batch; the gradients of all
           parameters are added up in a ring (what --strategy does)
towers     pairs of workers have a tower each, as in the paper, and exchange activations
           where a tower reads the other; each tower's gradients are added up over pairs;
           for nets of two towers
hybrid     Krizhevsky 2014 (arXiv:1404.5997): the convolutions, shared or not, as in
           `data`; of the fully connected layers each worker has a share of the units, for
           the whole batch, and of the softmax the maximum and the sum of its own classes

Float32 throughout; labels and the log's means are not counted. A ring of n sends
2 (n - 1) / n times what it adds up; an activation crosses once forward, and its gradient
once backward.
"""

import math
from collections.abc import Callable

from absl import app, flags

from alexnet_tf.models import architecture, zoo

_NET = flags.DEFINE_string("architecture", "paper", "The net.")

BYTES = 4
WORKERS = [2**n for n in range(1, 11)]


def ring(values: float, workers: int) -> float:
    """Bytes that each of `workers` sends to add up `values` numbers."""
    return 2 * (workers - 1) / workers * values * BYTES


def parameters(net: architecture.Architecture, kind: type) -> int:
    """Weights and biases of all layers of one kind."""
    return sum(
        e.parameters for e in architecture.extents(net) if isinstance(e.layer, kind)
    )


def inputs(net: architecture.Architecture) -> dict[str, tuple]:
    """Layer with weights -> (it, the numbers a picture that it reads)."""
    found, shape = {}, (net.input_size, net.input_size, 3)
    for extent in architecture.extents(net):
        if isinstance(extent.layer, architecture.Weighted):
            found[extent.name] = extent.layer, math.prod(shape)
        shape = extent.shape
    return found


def data(net: architecture.Architecture, workers: int, batch: int) -> float:
    del batch  # gradients are as large whatever they are of
    return ring(architecture.parameters(net), workers)


def towers(net: architecture.Architecture, workers: int, batch: int) -> float:
    """The mean of the two workers of a pair: fc8 stands on one of them alone."""
    pairs = workers // 2
    crossing = 0.0
    for layer, size in inputs(net).values():
        if layer.inputs == "both":
            alone = isinstance(layer, architecture.Dense) and not layer.split
            crossing += size / 4 if alone else size / 2
    activations = 2 * crossing * batch / pairs * BYTES
    return activations + ring(architecture.parameters(net) / 2, pairs)


def hybrid(net: architecture.Architecture, workers: int, batch: int) -> float:
    dense = parameters(net, architecture.Dense)
    convolutions = ring(architecture.parameters(net) - dense, workers)
    # From a picture's largest logit and the sum of exponentials over all classes a worker
    # has the loss's gradient at its own; the logits themselves stay.
    softmax = ring(2 * batch, workers)
    crossing = sum(
        size
        for layer, size in inputs(net).values()
        if isinstance(layer, architecture.Dense)
    )
    others = (workers - 1) / workers
    return convolutions + softmax + 2 * others * crossing * batch * BYTES


def layouts(net: architecture.Architecture) -> dict[str, Callable[..., float]]:
    """Those that the net has, by name."""
    pairs = {"towers": towers} if net.towers == 2 else {}
    return {"data": data, **pairs, "hybrid": hybrid}


def most_workers(net: architecture.Architecture, other: Callable, each: int) -> int:
    """Up to how many workers of `each` pictures hybrid sends less; 0: with none."""
    numbers = range(2, WORKERS[-1] + 1, 2)
    return max(
        (n for n in numbers if hybrid(net, n, each * n) < other(net, n, each * n)),
        default=0,
    )


def largest_batch(net: architecture.Architecture, other: Callable, workers: int) -> int:
    """Up to what batch hybrid sends less; each sends a constant and so much a picture."""
    none, one = (other(net, workers, b) - hybrid(net, workers, b) for b in (0, 1))
    return math.floor(none / (none - one))


def table(net: architecture.Architecture, batch_of) -> list[str]:
    """Megabytes a worker sends, and GB/s for each TFLOP/s that it computes."""
    found = layouts(net)
    lines = [
        f"| workers | batch | {' | '.join(f'{n}, MB' for n in found)} | "
        f"{' | '.join(f'{n}, GB/s' for n in found)} |",
        f"|{'---:|' * (2 + 2 * len(found))}",
    ]
    for workers in WORKERS:
        batch = batch_of(workers)
        tflop = architecture.training_flop(net) * batch / workers / 1e12
        sent = [layout(net, workers, batch) for layout in found.values()]
        cells = [f"{b / 1e6:,.1f}" for b in sent]
        cells += [f"{b / 1e9 / tflop:,.2f}" for b in sent]
        lines.append(f"| {workers:,} | {batch:,} | {' | '.join(cells)} |")
    return lines


def main(argv):
    if len(argv) > 1:
        raise app.UsageError(f"unexpected arguments: {argv[1:]}")
    net = zoo.find(_NET.value)
    print("128 pictures a worker:\n")
    print("\n".join(table(net, lambda workers: 128 * workers)))
    print("\n1,024 pictures in all:\n")
    print("\n".join(table(net, lambda workers: 1024)))
    print()
    for name, other in layouts(net).items():
        if other is not hybrid:
            batches = [
                f"{largest_batch(net, other, n):,} pictures on {n:,} workers"
                for n in (8, WORKERS[-1])
            ]
            print(
                f"hybrid sends less than {name} up to a batch of {' and '.join(batches)}; "
                f"with 128 pictures a worker up to {most_workers(net, other, 128)} workers"
            )


if __name__ == "__main__":
    app.run(main)
