"""Calls every op of a library with attributes and shapes as any saved model may have.

A program of its own, because a fault may end the process:

    python -m tests.support.op_fuzz LIBRARY SEED CASES

The same SEED gives the same cases. Every case is named on stderr before it runs, so the
last line names the one that ended the process. The exit status is 1 if an op accepted
what it should have refused, refused what is valid, or failed in another way than by
one of TensorFlow's errors.
"""

import collections
import dataclasses
import itertools
import math
import operator
import os
import random
import resource
import sys
from collections.abc import Callable, Mapping

import numpy as np
import tensorflow as tf

LARGEST = 65535  # of sizes, kernel sizes and paddings
LARGEST_DIMENSION = 2**31 - 1
MOST_VALUES = 2**24  # in an input
MEMORY = 2**29  # bytes that the process may allocate beyond what it has
FLOAT = np.finfo(np.float32)

EXTREME_INTS = [
    *(-(2**63), -(2**31) - 1, -(2**31), -(2**30), -2, -1, 0),
    *(LARGEST - 1, LARGEST, LARGEST + 1, LARGEST + 2),
    *(2**30 - 1, 2**30, 2**30 + 1, 2**31 - 2, 2**31 - 1, 2**31, 2**32 + 5, 2**63 - 1),
]
EXTREME_FLOATS = [
    *(np.nan, np.inf, -np.inf, -1.0, 0.0, -0.0, 1e-45, 1e-38, 1.2e-38),
    *(1e-20, 1e-4, 0.3, 0.5, 1.0, 2.0, 40.0, 1e20, 1e38, 3.4e38),
]
EXTREME_DIMENSIONS = [2**20, 2**31 - 1, 2**31, 2**32, 2**40, 2**62, 2**63 - 1]


@dataclasses.dataclass(frozen=True)
class Case:
    op: str
    tensors: tuple[tf.Tensor, ...]
    attributes: Mapping[str, object]
    valid: bool
    large: bool = False  # so that memory may run short
    variables: tuple[tf.Variable, ...] = ()  # whose handles are among the tensors

    def __str__(self):
        shapes = [f"{t.dtype.name}{t.shape.as_list()}" for t in self.tensors]
        attributes = [
            f"{key}={value!r}" for key, value in self.attributes.items() if value != []
        ]
        return f"{self.op}({', '.join(shapes + attributes)})"


def number(draw: random.Random, usual: list[int]) -> int:
    return draw.choice(usual if draw.random() < 0.8 else EXTREME_INTS)


def constant(draw: random.Random, usual: float) -> float:
    return usual if draw.random() < 0.6 else draw.choice(EXTREME_FLOATS)


def dimensions(draw: random.Random, rank: int = 4) -> list[int]:
    """A shape, usually small. An extreme one has no elements."""
    kind = draw.random()
    if kind < 0.08:
        return [draw.randint(1, 3) for _ in range(draw.choice([0, 1, 2, 3, 4, 5, 6]))]
    shape = [draw.choice([1, 2, 3, 5, 8, 17]) for _ in range(rank)]
    if kind < 0.3:
        shape[draw.randrange(rank)] = 0
    if kind < 0.2:
        for i in range(rank):
            if shape[i] and draw.random() < 0.5:
                shape[i] = draw.choice(EXTREME_DIMENSIONS)
    return shape


def product(shape: list[int]) -> int:
    return math.prod(map(int, shape))


def creatable(shape: list[int]) -> bool:
    """Whether TensorFlow can represent a tensor of this shape."""
    products = itertools.accumulate(map(int, shape), operator.mul)
    return max([*products, *shape], default=1) <= 2**63 - 1


def tensor(draw: random.Random, shape: list[int], dtype) -> tf.Tensor | None:
    """Random values, some of which are special."""
    if not creatable(shape):
        return None
    if 0 in shape:
        return tf.fill(tf.constant(shape, tf.int64), tf.zeros([], dtype))
    if product(shape) > MOST_VALUES:
        return None
    values = np.random.default_rng(draw.randrange(2**32)).normal(size=shape) * 3
    for special in (np.nan, np.inf, -np.inf, 1e38, 1e-40):
        if values.size and draw.random() < 0.1:
            values.flat[draw.randrange(values.size)] = special
    return tf.cast(tf.constant(values), dtype)


def image_shape_is_valid(*tensors: tf.Tensor) -> bool:
    shapes = [t.shape.as_list() for t in tensors]
    return (
        all(shape == shapes[0] for shape in shapes)
        and len(shapes[0]) == 4
        and max(shapes[0]) <= LARGEST_DIMENSION
    )


def normalization(draw: random.Random, name: str, dtypes: list) -> Case | None:
    attributes: dict[str, object] = {
        "size": number(draw, [1, 3, 5, 5, 9, 31]),
        "k": constant(draw, 2.0),
        "alpha": constant(draw, 1e-4),
        "beta": constant(draw, 0.75),
    }
    size, k, alpha, beta = (np.float64(v) for v in attributes.values())
    k, alpha, beta = (float(np.float32(v)) for v in (k, alpha, beta))
    finite = bool(np.isfinite([k, alpha, beta]).all())
    valid = (
        1 <= size <= LARGEST
        and size % 2 == 1
        and finite
        and k >= FLOAT.tiny
        and alpha >= 0
        and beta >= 0
        and -beta * np.log2(k) <= 127
        and 2 * alpha * beta <= 2.0**127
    )
    dtype = draw.choice(dtypes)
    shape = dimensions(draw)
    x = tensor(draw, shape, dtype)
    tensors = [x]
    if draw.random() < 0.5:
        name += "Grad"
        other = shape if draw.random() < 0.85 else dimensions(draw)
        tensors.insert(0, tensor(draw, other, dtype))
        if "Local" in name:
            attributes["rectified"] = draw.random() < 0.5
    if any(t is None for t in tensors):
        return None
    valid = valid and image_shape_is_valid(*tensors)
    return Case(name, tuple(tensors), attributes, bool(valid))


def local_response(draw: random.Random) -> Case | None:
    dtypes = [tf.float32, tf.float16, tf.bfloat16]
    return normalization(draw, "LocalResponseNormalization", dtypes)


def spatial(draw: random.Random) -> Case | None:
    return normalization(draw, "SpatialNormalization", [tf.float32, tf.bfloat16])


def winograd(draw: random.Random) -> Case | None:
    attributes: dict[str, object] = {
        "side": draw.choice(["input", "output"]),
        "outputs": number(draw, [2, 4]),
        "kernel_size": number(draw, [3, 5]),
        "padding_before": number(draw, [0, 1, 2, 9]),
        "padding_after": number(draw, [0, 1, 2, 9]),
    }
    side, outputs, kernel_size, before, after = attributes.values()
    valid = (
        outputs in (2, 4)
        and kernel_size in (3, 5)
        and 0 <= before <= LARGEST
        and 0 <= after <= LARGEST
    )
    dtype = draw.choice([tf.float32, tf.bfloat16])
    shape = dimensions(draw)
    tiles_shape = None
    if valid and len(shape) == 4:
        grow = before + after - kernel_size + 1 if side == "input" else 0
        rows, columns = (max(0, -(-(n + grow) // outputs)) for n in shape[1:3])
        places = (outputs + kernel_size - 1) ** 2
        tiles_shape = [places, shape[0] * rows * columns, shape[3]]
    valid = (
        tiles_shape is not None
        and max(shape) <= LARGEST_DIMENSION
        and product([*tiles_shape[:2], max(1, tiles_shape[2])]) <= 2**60
    )
    large = valid and product(tiles_shape) > 2**20
    if draw.random() < 0.5:
        images = tensor(draw, shape, dtype)
        if images is None:
            return None
        name, tensors = "WinogradToTiles", (images,)
    else:
        if shape and draw.random() < 0.1:
            shape[draw.randrange(len(shape))] = -1
            valid = False
        elif max(shape, default=0) > LARGEST_DIMENSION:
            return None
        agrees = tiles_shape is not None and draw.random() < 0.8
        chosen = tiles_shape if agrees and not large else dimensions(draw, 3)
        valid = valid and chosen == tiles_shape
        tiles = tensor(draw, chosen, dtype)
        if tiles is None:
            return None
        name, tensors = "WinogradFromTiles", (tiles, tf.constant(shape, tf.int32))
    return Case(name, tensors, attributes, bool(valid), large)


def weight_gradients(draw: random.Random) -> Case | None:
    attributes: dict[str, object] = {
        "kernel_size": number(draw, [1, 2, 3, 5]),
        "padding_before": number(draw, [0, 1, 2, 9]),
        "padding_after": number(draw, [0, 1, 2, 9]),
    }
    kernel_size, before, after = attributes.values()
    shape = dimensions(draw)
    filters = draw.choice([0, 1, 3, 16, 33, *EXTREME_DIMENSIONS[:1]])
    valid = (
        1 <= kernel_size <= LARGEST
        and 0 <= before <= LARGEST
        and 0 <= after <= LARGEST
        and len(shape) == 4
    )
    dy_shape = dimensions(draw)
    if valid:
        grow = before + after - kernel_size + 1
        wanted = [shape[0], shape[1] + grow, shape[2] + grow, filters]
        fits = min(wanted) >= 0 and product(wanted) < 2**22
        if fits and draw.random() < 0.85:
            dy_shape = wanted
        wanted[3] = dy_shape[3] if len(dy_shape) == 4 else -1
        gradients = [kernel_size, kernel_size, shape[3], wanted[3]]
        positions = [shape[0], *(n + before + after for n in shape[1:3])]
        valid = (
            dy_shape == wanted
            and max(shape + dy_shape) <= LARGEST_DIMENSION
            and product(positions) <= 2**60
            and creatable(gradients)
        )
    x, dy = (tensor(draw, s, tf.bfloat16) for s in (shape, dy_shape))
    if x is None or dy is None:
        return None
    large = max(kernel_size, before, after, *shape, *dy_shape) > 2**12
    return Case(
        "ConvolutionWeightGradients", (x, dy), attributes, bool(valid), bool(large)
    )


def momentum(draw: random.Random) -> Case | None:
    shape = dimensions(draw)
    shapes = [shape if draw.random() < 0.9 else dimensions(draw) for _ in range(4)]
    dtypes = [
        *(tf.float32, tf.float32, tf.bfloat16),
        draw.choice([tf.float32, tf.bfloat16]),
    ]
    values = [tensor(draw, s, d) for s, d in zip(shapes, dtypes, strict=True)]
    if any(value is None for value in values):
        return None
    *variables, gradient = [tf.Variable(v) for v in values[:3]] + values[3:]
    copied = draw.random() < 0.5
    learning_rate = tf.fill([1] if draw.random() < 0.05 else [], 0.1)
    attributes: dict[str, object] = {
        "copies": [variables[2].handle] if copied else [],
        "momentum": constant(draw, 0.9),
        "weight_decay": constant(draw, 5e-4),
    }
    used = [*shapes[:2], shapes[3], *([shapes[2]] if copied else [])]
    valid = (
        all(s == used[0] for s in used)
        and learning_rate.shape.rank == 0
        and all(0 <= attributes[key] < np.inf for key in ("momentum", "weight_decay"))
    )
    return Case(
        "ResourceApplyDecayedMomentum",
        (variables[0].handle, variables[1].handle, gradient, learning_rate),
        attributes,
        bool(valid),
        variables=tuple(variables),
    )


CASES: list[Callable[[random.Random], Case | None]] = [
    local_response,
    spatial,
    winograd,
    weight_gradients,
    momentum,
]


def signature(draw: random.Random, value: tf.Tensor) -> tf.TensorSpec:
    """What a graph may know of this tensor's shape: all, a part, or nothing."""
    kind = draw.random()
    if kind < 0.4:
        return tf.TensorSpec(value.shape, value.dtype)
    if kind < 0.6:
        return tf.TensorSpec(None, value.dtype)
    shape = [n if draw.random() < 0.5 else None for n in value.shape]
    return tf.TensorSpec(shape, value.dtype)


def call(library, case: Case, draw: random.Random):
    """Runs the case, in a graph or eagerly."""
    pieces = "".join(c if c.islower() else "_" + c.lower() for c in case.op)
    op = getattr(library, "alexnet_tf" + pieces)
    if case.variables or draw.random() < 0.5:
        return op(*case.tensors, **case.attributes)
    signatures = [signature(draw, value) for value in case.tensors]
    function = tf.function(
        lambda *tensors: op(*tensors, **case.attributes),
        input_signature=signatures,
        autograph=False,
    )
    return function(*case.tensors)


def outcome(library, case: Case, draw: random.Random) -> tuple[str, str]:
    """What the case gave, in a word, and the text of its error."""
    try:
        for result in tf.nest.flatten(call(library, case, draw)):
            # NumPy cannot represent every shape without elements.
            if isinstance(result, tf.Tensor) and 0 not in result.shape:
                np.asarray(tf.cast(result, tf.float64))
    except tf.errors.ResourceExhaustedError as error:
        return "memory" if case.large else "ResourceExhaustedError", str(error)
    except (tf.errors.InvalidArgumentError, ValueError, OverflowError) as error:
        return "refused", str(error)
    except Exception as error:  # that is what the test is for
        return type(error).__name__, str(error)
    return "accepted", ""


def limit_memory() -> None:
    """Lets large tensors fail as they would on a machine without memory.

    The address sanitizer maps terabytes and has a limit of its own.
    """
    if "ASAN_OPTIONS" in os.environ:
        return
    with open("/proc/self/statm") as file:
        size = int(file.read().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (size + MEMORY, size + MEMORY))


def main(library: str, seed: int, cases: int) -> int:
    draw = random.Random(seed)
    loaded = tf.load_op_library(library)
    tf.function(lambda: tf.zeros([64, 64]) @ tf.zeros([64, 64]))()  # starts threads
    limit_memory()
    counts: collections.Counter[str] = collections.Counter()
    faults = 0
    while counts.total() < cases:
        case = draw.choice(CASES)(draw)
        if case is None:
            continue
        print(case, file=sys.stderr, flush=True)
        found, text = outcome(loaded, case, draw)
        counts[found] += 1
        expected = {"accepted", "memory"} if case.valid else {"refused"}
        if found not in expected:
            faults += 1
            print(f"FAULT: {found}: {case}: {text[:300]}", flush=True)
    print(
        f"{counts.total()} cases, {dict(sorted(counts.items()))}, {faults} faults",
        flush=True,
    )
    return faults != 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], *map(int, sys.argv[2:])))
