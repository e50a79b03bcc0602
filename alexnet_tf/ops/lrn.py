# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""The custom op library, loaded here and nowhere else, and the gradients of its ops.

TensorFlow gives an empty module, and no error, to whoever loads the same ops twice.
"""

import contextlib
import ctypes
import math
import pathlib
import re

import numpy as np
import tensorflow as tf

_LIBRARY = pathlib.Path(__file__).with_name("_alexnet_ops.so")
_FORWARD = "AlexnetTf>LocalResponseNormalization"


class OpLibraryError(ImportError):
    """The op library is missing, or was built for another TensorFlow."""


def _build_text(library: pathlib.Path) -> str:
    """What `library` was built for, from the text that its C++ side leaves in it."""
    if not library.exists():
        source_tree = (library.parents[1] / "custom_ops").is_dir()
        advice = (
            "Python found the package's source tree first: type `make setup` there to "
            "build the library in place, or start Python from another folder to use "
            "an installed wheel"
            if source_tree
            else "type `pip install .` in the source tree to build it"
        )
        raise OpLibraryError(
            f"the op library {library} does not exist: {advice}", path=str(library)
        )
    found = re.search(rb"alexnet_tf build: ([^;\0]*);", library.read_bytes())
    if found is None:
        raise OpLibraryError(
            f"{library} is not an op library of alexnet_tf: type `make setup`, or "
            "`pip install .`, to build it again",
            path=str(library),
        )
    return found[1].decode()


def _check_tensorflow(build: dict[str, str], running: str, library: pathlib.Path):
    """Raises OpLibraryError unless the minor versions agree."""
    wanted = build["tensorflow"].split(".")[:2]
    if running.split(".")[:2] != wanted:
        raise OpLibraryError(
            f"{library} was built for TensorFlow {'.'.join(wanted)}, and this is "
            f"{running}: install tensorflow~={build['tensorflow']}, or build the "
            "library again with `make setup` or `pip install .`",
            path=str(library),
        )


def _load(library: pathlib.Path):
    build = dict(part.split("=", 1) for part in _build_text(library).split())
    _check_tensorflow(build, tf.__version__, library)
    return tf.load_op_library(str(library)), build


_ops, _build = _load(_LIBRARY)


def cuda_version() -> str | None:
    """The CUDA version that the library's GPU kernels were built with, if any."""
    return None if _build["cuda"] == "none" else _build["cuda"]


def instruction_set() -> str | None:
    """What the CPU kernels run on: "amx_bf16", "avx512_bf16", "avx512", "avx2" or
    "baseline"; None where ALEXNET_TF_ISA asks for what this processor lacks."""
    name = ctypes.CDLL(str(_LIBRARY)).alexnet_tf_instruction_set
    name.restype = ctypes.c_char_p
    found = name()
    return found and found.decode()


def runs_on_cpu(device: str) -> bool:
    """Whether an operation placed on `device` runs on the processor; "": anywhere."""
    return "CPU" in device if device else not tf.config.list_logical_devices("GPU")


def _check_constants(size: int, k: float, alpha: float, beta: float) -> None:
    # The LRN kernels check too, for graphs that were not built here.
    if size < 1 or size % 2 == 0:
        raise ValueError(f"size must be odd and at least 1, got {size}")
    if not 0 < k < math.inf:
        raise ValueError(f"k must be positive and finite, got {k}")
    for name, value in (("alpha", alpha), ("beta", beta)):
        if not 0 <= value < math.inf:
            raise ValueError(f"{name} must be finite and at least 0, got {value}")


def local_response_normalization(
    x, *, size=5, k=2.0, alpha=1e-4, beta=0.75, name=None
) -> tf.Tensor:
    """Local response normalization across channels (AlexNet paper, section 3.3).

    `y_i = x_i / (k + alpha * sum_j x_j^2)^beta`, with the sum over the channels `j`
    with `|j - i| <= size // 2` that exist. The defaults are the paper's. The
    arithmetic is float32 for every type; the gradient recomputes from `x`, and has no
    gradient of its own.

    Args:
        x: `[batch, height, width, channels]`, float32, float16 or bfloat16.
        size: channels in the window, odd: the paper's n.
        k: added to the sum, positive.
        alpha: factor of the sum itself. Caffe's and PyTorch's alpha is `size` times
            this one.
        beta: the exponent, at least 0.
        name: of the op.

    Returns:
        A tensor as `x`.

    Raises:
        ValueError: a constant, or the rank of `x`, is wrong.
        tf.errors.InvalidArgumentError: the rank, where it is known only at run time.
    """
    _check_constants(size, k, alpha, beta)
    return _ops.alexnet_tf_local_response_normalization(
        x, size=size, k=k, alpha=alpha, beta=beta, name=name
    )


@tf.RegisterGradient(_FORWARD)
def _local_response_normalization_gradient(op, dy):
    return _ops.alexnet_tf_local_response_normalization_grad(
        dy,
        op.inputs[0],
        **{key: op.get_attr(key) for key in ("size", "k", "alpha", "beta")},
    )


def relu(x, name=None) -> tf.Tensor:
    """`tf.nn.relu`, whose gradient behind that of our normalization is one op with it.

    That is one pass over memory instead of two, for `tf.gradients` in the function that
    calls this, on the CPU, where the normalization alone reads the result. Elsewhere,
    under `tf.GradientTape` too, the gradient is TensorFlow's.
    """
    if tf.executing_eagerly():
        return tf.nn.relu(x, name=name)
    graph = tf.compat.v1.get_default_graph()
    with graph.gradient_override_map({"Relu": "AlexnetTf>Relu"}):
        return tf.nn.relu(x, name=name)


@tf.RegisterGradient("AlexnetTf>Relu")
def _relu_gradient(op, dy):
    (y,) = op.outputs
    normalization = dy.op  # the sum of several where others read y
    if (
        normalization.type == f"{_FORWARD}Grad"
        and normalization.inputs[1] is y
        and runs_on_cpu(y.device)
    ):
        return _ops.alexnet_tf_local_response_normalization_grad(
            *normalization.inputs,
            rectified=True,
            **{
                key: normalization.get_attr(key)
                for key in ("size", "k", "alpha", "beta")
            },
        )
    return tf.raw_ops.ReluGrad(gradients=dy, features=y)


def local_response_normalization_xla(
    x, *, size=5, k=2.0, alpha=1e-4, beta=0.75, name=None
) -> tf.Tensor:
    """`local_response_normalization` in stock ops, for `jit_compile=True`.

    XLA cannot compile a custom op; it fuses these. The gradient is written out, since
    automatic differentiation of padding and slices is slow; it also has a gradient of
    its own.
    """
    _check_constants(size, k, alpha, beta)

    def window_sum(values):
        # The padding is the zeros outside the row.
        half = size // 2
        channels = tf.shape(values)[-1]
        padded = tf.pad(values, [[0, 0]] * 3 + [[half, half]])
        return tf.add_n([padded[..., d : d + channels] for d in range(size)])

    @tf.custom_gradient
    def normalize(x):
        wide = tf.cast(x, tf.float32)
        scale = k + alpha * window_sum(tf.square(wide))
        power = tf.pow(scale, -beta)

        def gradient(dy):
            direct = tf.cast(dy, tf.float32) * power
            pulled = window_sum(direct * wide / scale)
            dx = direct - 2 * alpha * beta * wide * pulled
            return tf.cast(dx, x.dtype)

        return tf.cast(wide * power, x.dtype), gradient

    with tf.name_scope(name or "local_response_normalization"):
        x = tf.convert_to_tensor(x)
        x.shape.assert_has_rank(4)
        return normalize(x)


def spatial_normalization(x, *, size, k, alpha, beta) -> tf.Tensor:
    """Normalisation within each map: the released program's layer type `rnorm`.

    `y = x / (k + alpha * sum of x^2)^beta`, the sum over the square of `size` x `size`
    positions of the same channel around `x`, clipped at the border. On the CPU alone;
    the arithmetic is float32.

    Args:
        x: `[batch, height, width, channels]`, float32 or bfloat16.
        size: side of the square, odd.
        k, alpha, beta: the formula's constants.

    Returns:
        A tensor as `x`.
    """
    _check_constants(size, k, alpha, beta)
    return _ops.alexnet_tf_spatial_normalization(
        x, size=size, k=k, alpha=alpha, beta=beta
    )


@tf.RegisterGradient("AlexnetTf>SpatialNormalization")
def _spatial_normalization_gradient(op, dy):
    return _ops.alexnet_tf_spatial_normalization_grad(
        dy,
        op.inputs[0],
        **{key: op.get_attr(key) for key in ("size", "k", "alpha", "beta")},
    )


# The points of custom_ops/winograd/winograd.h, infinity coming after the last.
_WINOGRAD_POINTS = (0.0, 1.0, -1.0, 2.0, -2.0, 0.5, -0.5)
_WINOGRAD_ATTRIBUTES = ("side", "outputs", "taps", "before", "after")


def _winograd_filter_matrix(outputs: int, taps: int) -> np.ndarray:
    """G of y = A^T [(G g G^T) * (B^T x B)] A: [outputs + taps - 1, taps]."""
    points = np.array(_WINOGRAD_POINTS[: outputs + taps - 2])
    apart = points[:, None] - points
    np.fill_diagonal(apart, 1)
    finite = np.vander(points, taps, increasing=True) / np.prod(apart, 1)[:, None]
    infinity = np.eye(1, taps, taps - 1)
    return np.concatenate([finite, infinity])


def winograd_convolution(x, kernel, *, outputs=4, zeros=(0, 0), name=None) -> tf.Tensor:
    """A convolution of stride 1 in fewer products, by Winograd's minimal filtering.

    Lavin and Gray, "Fast Algorithms for Convolutional Neural Networks" (2016). Tiles of
    `outputs` x `outputs` results take (outputs + taps - 1)^2 products a pair of channels
    instead of (outputs * taps)^2: with 4, a quarter for 3 x 3 kernels and 0.16 for
    5 x 5. The products are matrix products of TensorFlow's own. It differs from
    `tf.nn.conv2d` by rounding: in float32 by about 5e-6 of the result's norm; bfloat16
    rounds the tiles too, and there 2 outputs of 3 taps (0.5 % against 0.3 %) are what
    keeps it small. On the CPU alone. Differentiable twice and more.

    Args:
        x: `[batch, height, width, channels]`, float32 or bfloat16.
        kernel: `[taps, taps, channels, filters]`, taps 3 or 5, in the type of `x`.
        outputs: results of a tile along each side, 2 or 4.
        zeros: rows and columns of zeros around `x`, (before, after).
        name: of the op.

    Returns:
        `[batch, height', width', filters]`, with height' = height + before + after -
        taps + 1, in the type of `x`.

    Raises:
        ValueError: ranks, taps, outputs or zeros are wrong.
    """
    with tf.name_scope(name or "winograd_convolution"):
        x = tf.convert_to_tensor(x)
        kernel = tf.convert_to_tensor(kernel)
        x.shape.assert_has_rank(4)
        kernel.shape.assert_has_rank(4)
        taps, _, channels, filters = kernel.shape
        if kernel.shape[:2] not in ([3, 3], [5, 5]):
            raise ValueError(f"kernel must be 3 x 3 or 5 x 5, got {kernel.shape}")
        if outputs not in (2, 4):
            raise ValueError(f"outputs must be 2 or 4, got {outputs}")
        before, after = zeros
        if min(before, after) < 0:
            raise ValueError(f"zeros must be at least 0, got {tuple(zeros)}")
        attributes = {
            "outputs": outputs,
            "taps": taps,
            "before": before,
            "after": after,
        }

        matrix = _winograd_filter_matrix(outputs, taps)
        places = len(matrix) ** 2
        both_axes = tf.constant(np.kron(matrix, matrix), tf.float32)
        wide = tf.reshape(tf.cast(kernel, tf.float32), [taps * taps, -1])
        factors = tf.reshape(both_axes @ wide, [places, channels, filters])

        tiles = _ops.alexnet_tf_winograd_to_tiles(x, side="input", **attributes)
        products = tiles @ tf.cast(factors, x.dtype)
        batch, height, width, _ = tf.unstack(tf.shape(x))
        grow = before + after - taps + 1
        shape = tf.stack([batch, height + grow, width + grow, filters])
        y = _ops.alexnet_tf_winograd_from_tiles(
            products, shape, side="output", **attributes
        )
        sides = [None if n is None else n + grow for n in x.shape[1:3]]
        y.set_shape([x.shape[0], *sides, filters])
        return y


@tf.RegisterGradient("AlexnetTf>WinogradToTiles")
def _winograd_to_tiles_gradient(op, dy):
    return _ops.alexnet_tf_winograd_from_tiles(
        dy,
        tf.shape(op.inputs[0]),
        **{key: op.get_attr(key) for key in _WINOGRAD_ATTRIBUTES},
    )


@tf.RegisterGradient("AlexnetTf>WinogradFromTiles")
def _winograd_from_tiles_gradient(op, dy):
    tiles = _ops.alexnet_tf_winograd_to_tiles(
        dy, **{key: op.get_attr(key) for key in _WINOGRAD_ATTRIBUTES}
    )
    return tiles, None


_WEIGHT_GRADIENTS = "AlexnetTf>ConvolutionWeightGradients"


def convolution(x, kernel, bias, *, zeros=(0, 0), name=None) -> tf.Tensor:
    """`tf.nn.conv2d` of stride 1 and `tf.nn.bias_add`, with our weights' gradients.

    For `tf.gradients` in the function that calls this, the gradients by kernel and bias
    are one op that multiplies tiles (AMX) where the instruction set has them, and
    elsewhere makes the same sums in plain loops. Products of bfloat16 are summed in
    float32 and rounded once. Eagerly and under `tf.GradientTape` the gradients are
    TensorFlow's. On the CPU alone; no second derivative.

    Args:
        x: `[batch, height, width, channels]`, bfloat16.
        kernel: `[taps, taps, channels, filters]`, bfloat16.
        bias: `[filters]`, bfloat16.
        zeros: rows and columns of zeros around `x`, (before, after).
        name: of the ops.

    Returns:
        `[batch, height', width', filters]`, with height' = height + before + after -
        taps + 1, bfloat16.

    Raises:
        ValueError: ranks, kernel or zeros are wrong.
        TypeError: `x` is not bfloat16.
    """
    with tf.name_scope(name or "convolution"):
        x = tf.convert_to_tensor(x)
        kernel = tf.convert_to_tensor(kernel)
        x.shape.assert_has_rank(4)
        kernel.shape.assert_has_rank(4)
        if x.dtype != tf.bfloat16:
            raise TypeError(f"x must be bfloat16, got {x.dtype.name}")
        taps = kernel.shape[0]
        if kernel.shape[1] != taps:
            raise ValueError(f"kernel must be square, got shape {kernel.shape}")
        if min(zeros) < 0:
            raise ValueError(f"zeros must be at least 0, got {tuple(zeros)}")
        # Explicit padding would be the plain way, and 20 times slower: it leaves oneDNN.
        if taps % 2 and tuple(zeros) == (taps // 2, taps // 2):
            padding = "SAME"
        else:
            padding = "VALID"
            if any(zeros):
                x = tf.pad(x, [[0, 0], list(zeros), list(zeros), [0, 0]])
        overrides = {"Conv2D": "AlexnetTf>Convolution", "BiasAdd": "AlexnetTf>Bias"}
        graph = tf.compat.v1.get_default_graph()
        with (
            contextlib.nullcontext()
            if tf.executing_eagerly()
            else graph.gradient_override_map(overrides)
        ):
            return tf.nn.bias_add(tf.nn.conv2d(x, kernel, 1, padding), bias)


def _weight_gradients(conv2d, dy):
    """Both gradients of a Conv2D's weights, by one op for whoever asks first."""
    x, kernel = conv2d.inputs
    taps = kernel.shape[0]
    around = taps // 2 if conv2d.get_attr("padding") == b"SAME" else 0
    for known in dy.consumers():
        if (
            known.type == _WEIGHT_GRADIENTS
            and known.inputs[0] is x
            and known.get_attr("taps") == taps
            and known.get_attr("before") == around
        ):
            return known.outputs
    return _ops.alexnet_tf_convolution_weight_gradients(
        x, dy, taps=taps, before=around, after=around
    )


@tf.RegisterGradient("AlexnetTf>Convolution")
def _convolution_gradient(op, dy):
    x, kernel = op.inputs
    dx = tf.raw_ops.Conv2DBackpropInput(
        input_sizes=tf.shape(x),
        filter=kernel,
        out_backprop=dy,
        strides=op.get_attr("strides"),
        padding=op.get_attr("padding").decode(),
    )
    return dx, _weight_gradients(op, dy)[0]


@tf.RegisterGradient("AlexnetTf>Bias")
def _bias_gradient(op, dy):
    return dy, _weight_gradients(op.inputs[0].op, dy)[1]


def apply_decayed_momentum(
    variable, velocity, gradient, *, rate, momentum, decay, copy=None
):
    """v <- momentum * v - rate * (gradient + decay * w); w <- w + v, in one pass.

    Paper section 5. In place, on the CPU alone.

    Args:
        variable: w, a float32 `tf.Variable`.
        velocity: v, as `variable`.
        gradient: of the same shape, float32 or bfloat16.
        rate: a float32 scalar tensor.
        momentum, decay: floats.
        copy: None, or a bfloat16 `tf.Variable` of the same shape, which becomes w,
            rounded, in the same pass.

    Raises:
        tf.errors.InvalidArgumentError: shapes differ, or two variables are one.
        tf.errors.FailedPreconditionError: a variable is of another type.
    """
    _ops.alexnet_tf_resource_apply_decayed_momentum(
        variable.handle,
        velocity.handle,
        gradient,
        rate,
        [] if copy is None else [copy.handle],
        momentum=momentum,
        decay=decay,
    )
