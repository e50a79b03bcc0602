"""Calculates how many bytes a worker sends per step, for three ways to spread the net.

    python tools/studies/exchange.py         # the tables of docs/scale.md, in Markdown

data     Each worker has the whole net and its share of the batch. The gradients of all
         parameters are added up in a ring. `--strategy` does this.
towers   Pairs of workers have one tower each, as in the paper, and exchange activations
         wherever a tower reads the other one. The gradients of each tower are added up
         over all pairs. Only for nets with two towers.
hybrid   Krizhevsky 2014 (arXiv:1404.5997). The convolutions, shared or not, are treated
         as in `data`. Of the fully connected layers, each worker has a share of the
         units for the whole batch. For the softmax, the workers exchange the maximum
         and the sum over their own classes.

Everything is float32. Labels and the means for the log are not counted. In a ring of n
workers, each sends 2 (n - 1) / n times the size of what is added up. An activation is
sent once in the forward pass, and its gradient once in the backward pass.
"""

import math
from collections.abc import Callable

from absl import app

from alexnet_tf.models import architecture, zoo

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
    """Layers with weights by name: (the layer, how many values per image it reads)."""
    found, shape = {}, (net.input_size, net.input_size, 3)
    for extent in architecture.extents(net):
        if isinstance(extent.layer, architecture.Weighted):
            found[extent.name] = extent.layer, math.prod(shape)
        shape = extent.shape
    return found


def data(net: architecture.Architecture, workers: int, batch: int) -> float:
    """Bytes per worker and step if each worker has the whole net."""
    del batch  # the size of the gradients does not depend on it
    return ring(architecture.parameters(net), workers)


def towers(net: architecture.Architecture, workers: int, batch: int) -> float:
    """Bytes per worker and step if pairs of workers have one tower each.

    This is the mean of the two workers of a pair, because fc8 is on only one of them.
    """
    pairs = workers // 2
    crossing = 0.0
    for layer, size in inputs(net).values():
        if layer.inputs == "both":
            alone = isinstance(layer, architecture.Dense) and not layer.split
            crossing += size / 4 if alone else size / 2
    activations = 2 * crossing * batch / pairs * BYTES
    return activations + ring(architecture.parameters(net) / 2, pairs)


def hybrid(net: architecture.Architecture, workers: int, batch: int) -> float:
    """Bytes per worker and step if only the convolutions are replicated."""
    dense = parameters(net, architecture.Dense)
    convolutions = ring(architecture.parameters(net) - dense, workers)
    # A worker that knows an image's largest logit and the sum of exponentials over all
    # classes can compute the loss's gradient for its own classes. It sends no logits.
    softmax = ring(2 * batch, workers)
    crossing = sum(
        size
        for layer, size in inputs(net).values()
        if isinstance(layer, architecture.Dense)
    )
    others = (workers - 1) / workers
    return convolutions + softmax + 2 * others * crossing * batch * BYTES


def layouts(net: architecture.Architecture) -> dict[str, Callable[..., float]]:
    """The layouts that are possible for the net, by name."""
    pairs = {"towers": towers} if net.towers == 2 else {}
    return {"data": data, **pairs, "hybrid": hybrid}


def most_workers(net: architecture.Architecture, other: Callable, each: int) -> int:
    """Up to how many workers of `each` images hybrid sends less than `other`.

    It is 0 if hybrid never sends less.
    """
    numbers = range(2, WORKERS[-1] + 1, 2)
    return max(
        (n for n in numbers if hybrid(net, n, each * n) < other(net, n, each * n)),
        default=0,
    )


def largest_batch(net: architecture.Architecture, other: Callable, workers: int) -> int:
    """Up to which batch size hybrid sends less than `other`.

    Both send a constant number of bytes, and a number that is proportional to the
    batch.
    """
    none, one = (other(net, workers, b) - hybrid(net, workers, b) for b in (0, 1))
    return math.floor(none / (none - one))


def table(
    net: architecture.Architecture, batch_of_workers: Callable[[int], int]
) -> list[str]:
    """Megabytes that a worker sends, and GB/s for each TFLOP/s that it computes."""
    found = layouts(net)
    lines = [
        f"| workers | batch | {' | '.join(f'{n}, MB' for n in found)} | "
        f"{' | '.join(f'{n}, GB/s' for n in found)} |",
        f"|{'---:|' * (2 + 2 * len(found))}",
    ]
    for workers in WORKERS:
        batch = batch_of_workers(workers)
        tflop = architecture.training_flop(net) * batch / workers / 1e12
        sent = [layout(net, workers, batch) for layout in found.values()]
        cells = [f"{b / 1e6:,.1f}" for b in sent]
        cells += [f"{b / 1e9 / tflop:,.2f}" for b in sent]
        lines.append(f"| {workers:,} | {batch:,} | {' | '.join(cells)} |")
    return lines


def comparison(net: architecture.Architecture, name: str) -> str:
    """Up to which batch size and number of workers hybrid sends less than a layout."""
    other = layouts(net)[name]
    batches = [
        f"{largest_batch(net, other, n):,} images on {n:,} workers"
        for n in (8, WORKERS[-1])
    ]
    return (
        f"hybrid sends less than {name} up to a batch of {' and '.join(batches)}; "
        f"with 128 images per worker, up to {most_workers(net, other, 128)} workers"
    )


def main(arguments):
    if len(arguments) > 1:
        raise app.UsageError(f"unexpected argument {arguments[1]!r}")
    net = zoo.PAPER
    print("128 images per worker:\n")
    print("\n".join(table(net, lambda workers: 128 * workers)))
    print("\n1,024 images in total:\n")
    print("\n".join(table(net, lambda workers: 1024)))
    print()
    for name in layouts(net):
        if name != "hybrid":
            print(comparison(net, name))


if __name__ == "__main__":
    app.run(main)
