"""The Keras layers that AlexNet needs and Keras does not have.

Channels last throughout: [N, H, W, C]. Arithmetic that decides digits (sums of squares,
powers, means) is done in float32 whatever the compute type.
"""

import contextlib
import functools
from collections.abc import Iterator, Mapping
from typing import Any, Literal

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.ops import control_flow_util

from alexnet_tf import ops

Implementation = Literal["op", "stock"]
DropoutConvention = Literal["original", "inverted"]


# The fewest with which it was seen to be faster (conv2 of a tower, docs/speed.md).
_WINOGRAD_LEAST_CHANNELS = 48


def _one_of(name: str, value: str, known: tuple[str, ...]) -> str:
    if value not in known:
        raise ValueError(f"{name} must be one of {', '.join(known)}, got {value!r}")
    return value


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Convolution(keras.layers.Conv2D):
    """`keras.layers.Conv2D` with `zeros` = (before, after) on both spatial axes.

    The released program pads 224 pixels by three, to the right and below only.

    A processor's training steps take the fastest way there is: in bfloat16 on a
    processor that multiplies tiles (AMX) `ops.convolution`; elsewhere, with `winograd`,
    `ops.winograd_convolution` for kernels of 3 x 3 and 5 x 5, stride 1, from 48 channels
    on.
    """

    def __init__(
        self, filters, kernel_size, zeros=(0, 0), winograd=True, **kwargs: Any
    ):
        super().__init__(filters, kernel_size, **kwargs)
        self.zeros = tuple(zeros)
        self.winograd = winograd

    def call(self, inputs, training=False):
        if training and _on_cpu() and not _being_compiled():
            if self._suits_tiles(inputs):
                return self._by_tiles(inputs)
            if self.winograd and self._suits_winograd(inputs):
                return tf.nn.bias_add(self._by_winograd(inputs), self.bias)
        return tf.nn.bias_add(self._directly(inputs), self.bias)

    def _suits_tiles(self, inputs) -> bool:
        return (
            inputs.dtype == tf.bfloat16
            and self.groups == 1
            and len(set(self.kernel_size)) == len(set(self.strides)) == 1
            and (self.strides == (1, 1) or None not in inputs.shape[1:3])
            and ops.instruction_set() == "amx_bf16"
        )

    def _by_tiles(self, inputs):
        if self.strides == (1, 1):
            return ops.convolution(inputs, self.kernel, self.bias, zeros=self.zeros)
        # A stride is one step over squares of pixels, which make up a tile's channels:
        # 48 of conv1's where there were 3.
        squares, kernel = _in_squares(inputs, self.kernel, self.zeros, self.strides[0])
        return ops.convolution(squares, kernel, self.bias)

    def _suits_winograd(self, inputs) -> bool:
        return (
            self.kernel_size in ((3, 3), (5, 5))
            and self.strides == (1, 1)
            and min(inputs.shape[-1], self.filters) >= _WINOGRAD_LEAST_CHANNELS
            and inputs.dtype in (tf.float32, tf.bfloat16)
        )

    def _by_winograd(self, inputs):
        convolve = functools.partial(ops.winograd_convolution, zeros=self.zeros)
        if inputs.dtype == tf.float32:
            return convolve(inputs, self.kernel)
        if self.kernel_size == (3, 3):
            return convolve(inputs, self.kernel, outputs=2)
        # Tiles of 5 x 5 taps lose too much in bfloat16, and in float32 are faster still
        # than the direct sum in bfloat16.
        wide = convolve(tf.cast(inputs, tf.float32), tf.cast(self.kernel, tf.float32))
        return tf.cast(wide, inputs.dtype)

    def _directly(self, inputs):
        # Explicit padding would be the plain way, and 20 times slower in bfloat16: it
        # leaves oneDNN. "SAME" and a pad with "VALID" are the same numbers inside it.
        half = self.kernel_size[0] // 2
        odd = self.kernel_size[0] % 2
        if odd and self.zeros == (half, half) and self.strides == (1, 1):
            padding = "SAME"
        else:
            padding = "VALID"
            if any(self.zeros):
                edges = list(self.zeros)
                inputs = tf.pad(inputs, [[0, 0], edges, edges, [0, 0]])
        return tf.nn.conv2d(inputs, self.kernel, self.strides, padding)

    def compute_output_shape(self, input_shape):
        batch, height, width, channels = input_shape
        grow = sum(self.zeros)
        return super().compute_output_shape(
            (batch, height + grow, width + grow, channels)
        )

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "zeros": self.zeros,
            "winograd": self.winograd,
        }


def _in_squares(inputs, kernel, zeros, stride):
    """Input and kernel of the convolution of stride 1 that is the one of `stride`.

    Squares of `stride` x `stride` pixels become one position, their pixels its channels:
    inputs `[N, H, W, C]` to `[N, H', W', stride * stride * C]`.
    """
    taps, _, channels, filters = kernel.shape
    wide = -(-taps // stride)  # taps of the new kernel
    lengths = [n + sum(zeros) for n in inputs.shape[1:3]]
    rows, columns = ((n - taps) // stride + wide for n in lengths)
    # Behind the last square that a tap reaches, pixels may lack or be left over.
    behind = [
        n * stride - length + zeros[1]
        for n, length in zip((rows, columns), lengths, strict=True)
    ]
    padded = tf.pad(inputs, [[0, 0], *([zeros[0], max(n, 0)] for n in behind), [0, 0]])[
        :, : rows * stride, : columns * stride
    ]
    squares = tf.reshape(padded, [-1, rows, stride, columns, stride * channels])
    squares = tf.transpose(squares, [0, 1, 3, 2, 4])
    missing = [0, wide * stride - taps]
    whole = tf.pad(kernel, [missing, missing, [0, 0], [0, 0]])
    whole = tf.reshape(whole, [wide, stride, wide, stride, channels, filters])
    whole = tf.transpose(whole, [0, 2, 1, 3, 4, 5])
    depth = stride * stride * channels
    return (
        tf.reshape(squares, [-1, rows, columns, depth]),
        tf.reshape(whole, [wide, wide, depth, filters]),
    )


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Dense(keras.layers.Dense):
    """`keras.layers.Dense`, which under `reading_copies` reads a copy of its kernel."""

    def call(self, inputs, training=None):
        copy = _copies.get(self.kernel.path)
        if copy is None:
            return super().call(inputs, training)
        outputs = tf.matmul(inputs, copy)
        if self.use_bias:
            outputs = tf.nn.bias_add(outputs, self.bias)
        return self.activation(outputs)


_copies: Mapping[str, tf.Variable] = {}


@contextlib.contextmanager
def reading_copies(copies: Mapping[str, tf.Variable]) -> Iterator[None]:
    """Dense layers called inside read these for the kernels of these paths."""
    global _copies
    before, _copies = _copies, copies
    try:
        yield
    finally:
        _copies = before


def copied_kernels(net: keras.Model) -> list[keras.Variable]:
    """The kernels that training steps in bfloat16 should read copies of.

    They are the dense layers', 96 % of the parameters: cast every step, they take a
    twentieth of it (docs/speed.md).
    """
    return [
        layer.kernel
        for layer in net.layers
        if isinstance(layer, Dense) and layer.compute_dtype == "bfloat16"
    ]


@keras.saving.register_keras_serializable(package="alexnet_tf")
class ReLU(keras.layers.Layer):
    """max(x, 0), paper section 3.1; in training by `ops.relu`. Output: as the input."""

    def call(self, inputs, training=False):
        # What is saved has TensorFlow's own gradients.
        return ops.relu(inputs) if training else tf.nn.relu(inputs)

    def compute_output_shape(self, input_shape):
        return input_shape


def _being_compiled() -> bool:
    """Whether the graph at hand is traced for `jit_compile=True`."""
    return control_flow_util.GraphOrParentsInXlaContext(
        tf.compat.v1.get_default_graph()
    )


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LocalResponseNormalization(keras.layers.Layer):
    """b_i = a_i / (k + alpha * sum a_j^2)^beta over the `size` nearest channels.

    Paper section 3.3, whose constants are the defaults; the sum is clipped at the first
    and the last channel and `alpha` multiplies it undivided. (The released program
    divides alpha by `size`: pass alpha=2e-5.)

    Args:
        size: n, the channels in a window; odd.
        k, alpha, beta: the formula's constants.
        implementation: "op", this package's own kernel (under `jit_compile=True` the
            same formula in operations that XLA compiles), or "stock",
            `tf.nn.local_response_normalization` in float32: the one to export.

    Input and output: [N, H, W, C]; float32, bfloat16 or float16.
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        implementation: Implementation = "op",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be odd and at least 1, got {size}")
        self.size = size
        self.k = k
        self.alpha = alpha
        self.beta = beta
        self.implementation = _one_of("implementation", implementation, ("op", "stock"))
        # XLA cannot compile the op, and what stands in for it there is slower: saying
        # so keeps jit_compile="auto" off.
        self.supports_jit = implementation == "stock"
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        if self.implementation == "op":
            normalize = (
                ops.local_response_normalization_xla
                if _being_compiled()
                else ops.local_response_normalization
            )
            return normalize(
                inputs, size=self.size, k=self.k, alpha=self.alpha, beta=self.beta
            )
        normalized = tf.nn.local_response_normalization(
            tf.cast(inputs, tf.float32),
            depth_radius=self.size // 2,
            bias=self.k,
            alpha=self.alpha,
            beta=self.beta,
        )
        return tf.cast(normalized, inputs.dtype)

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "size": self.size,
            "k": self.k,
            "alpha": self.alpha,
            "beta": self.beta,
            "implementation": self.implementation,
        }


def _on_cpu() -> bool:
    """Whether an operation made here is one of the processor."""
    return ops.runs_on_cpu(tf.constant(0.0).device)


def _box_sum(x: tf.Tensor, size: int) -> tf.Tensor:
    """Sums over `size` x `size` squares of one map, clipped at the border."""
    margin = size // 2
    edges = [[0, 0], [margin, margin], [margin, margin], [0, 0]]
    return tf.nn.avg_pool2d(tf.pad(x, edges), size, 1, "VALID") * float(size * size)


def spatial_normalization(
    x: tf.Tensor, *, size: int, k: float, alpha: float, beta: float
) -> tf.Tensor:
    """`ops.spatial_normalization` in stock operations, for any device and for XLA.

    x / (k + alpha * sum of x^2 over a square of the same map)^beta; x [N, H, W, C].
    """

    def power(scale):
        if beta != 0.75:
            return tf.pow(scale, -beta)
        root = tf.math.rsqrt(scale)  # five times as fast as the general power
        return root * tf.sqrt(root)

    @tf.custom_gradient
    def normalize(x):
        scale = k + alpha * _box_sum(tf.square(x), size)
        shrunk = power(scale)

        def gradient(dy):
            inner = _box_sum(dy * x * shrunk / scale, size)
            return dy * shrunk - (2 * alpha * beta) * x * inner

        return x * shrunk, gradient

    return tf.cast(normalize(tf.cast(x, tf.float32)), x.dtype)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class SpatialNormalization(keras.layers.Layer):
    """Normalisation within one map: the released program's `rnorm` layer (`cnorm2`).

    Args:
        size, k, alpha, beta: see `ops.spatial_normalization`.
        implementation: "op", this package's own kernel (on a processor; elsewhere and
            under `jit_compile=True` as stock), or "stock", TensorFlow's operations.

    Input and output: [N, H, W, C].
    """

    def __init__(
        self,
        size: int = 5,
        k: float = 1.0,
        alpha: float = 0.001 / 25,
        beta: float = 0.75,
        implementation: Implementation = "op",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if size < 1 or size % 2 == 0:
            raise ValueError(f"size must be odd and at least 1, got {size}")
        self.size = size
        self.k = k
        self.alpha = alpha
        self.beta = beta
        self.implementation = _one_of("implementation", implementation, ("op", "stock"))
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        by_op = (
            self.implementation == "op"
            and inputs.dtype in (tf.float32, tf.bfloat16)
            and _on_cpu()
            and not _being_compiled()
        )
        normalize = ops.spatial_normalization if by_op else spatial_normalization
        return normalize(
            inputs, size=self.size, k=self.k, alpha=self.alpha, beta=self.beta
        )

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "size": self.size,
            "k": self.k,
            "alpha": self.alpha,
            "beta": self.beta,
            "implementation": self.implementation,
        }


@keras.saving.register_keras_serializable(package="alexnet_tf")
class UnsharedConvolution(keras.layers.Layer):
    """A convolution with a kernel and a bias of its own at every position.

    cuda-convnet's `local` layer, paper section 3.3's CIFAR-10 net. Stride 1;
    `padding` = zeros (before, after) on both spatial axes.

    Input [N, H, W, C]; kernel [H', W', size * size * C, filters], bias
    [H', W', filters]; output [N, H', W', filters].
    """

    def __init__(
        self,
        filters: int,
        size: int,
        padding: tuple[int, int] = (0, 0),
        kernel_initializer: Any = "glorot_uniform",
        bias_initializer: Any = "zeros",
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.filters = filters
        self.size = size
        self.padding = tuple(padding)
        self.kernel_initializer = keras.initializers.get(kernel_initializer)
        self.bias_initializer = keras.initializers.get(bias_initializer)
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        _, height, width, filters = self.compute_output_shape(input_shape)
        taps = self.size * self.size * input_shape[-1]
        self.kernel = self.add_weight(
            name="kernel",
            shape=(height, width, taps, filters),
            initializer=self.kernel_initializer,
        )
        self.bias = self.add_weight(
            name="bias",
            shape=(height, width, filters),
            initializer=self.bias_initializer,
        )

    def call(self, inputs):
        before_after = list(self.padding)
        padded = tf.pad(inputs, [[0, 0], before_after, before_after, [0, 0]])
        height, width = self.kernel.shape[:2]
        # Slices, whose gradient is cheaper than that of tf.image.extract_patches.
        patches = tf.concat(
            [
                padded[:, row : row + height, column : column + width]
                for row in range(self.size)
                for column in range(self.size)
            ],
            axis=-1,
        )
        return tf.einsum("nhwt,hwtf->nhwf", patches, self.kernel) + self.bias

    def compute_output_shape(self, input_shape):
        batch, height, width, _ = input_shape
        grow = sum(self.padding) - self.size + 1
        return (batch, height + grow, width + grow, self.filters)

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "filters": self.filters,
            "size": self.size,
            "padding": self.padding,
            "kernel_initializer": keras.initializers.serialize(self.kernel_initializer),
            "bias_initializer": keras.initializers.serialize(self.bias_initializer),
        }


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Dropout(keras.layers.Layer):
    """Dropout whose mask is a function of (seed, step, place in the global batch).

    Paper section 4.2. `convention="original"` is the paper's and the 2012 program's:
    kept activations pass unchanged in training, and all are multiplied by 1 - rate at
    test time. "inverted" is today's: kept activations are divided by 1 - rate in
    training. `step` counts the training calls and belongs in a checkpoint; with it an
    interrupted run draws the masks it would have drawn. Under `tf.distribute` a replica
    has its rows of the mask that one process would have drawn for all.

    Input and output: [N, units].
    """

    def __init__(
        self,
        rate: float = 0.5,
        convention: DropoutConvention = "original",
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and below 1, got {rate}")
        self.rate = rate
        self.convention = _one_of("convention", convention, ("original", "inverted"))
        self.seed = seed

    def build(self, input_shape):
        # A plain variable: checkpoints hold it, and it is no parameter of the net. Under
        # tf.distribute each replica counts for itself.
        self.step = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            name="step",
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, inputs, training=False):
        keep = tf.cast(1 - self.rate, inputs.dtype)
        if not training:
            return inputs * keep if self.convention == "original" else inputs
        step = self.step.read_value()
        numbers = _own_rows_of_uniform(tf.shape(inputs), self.seed, step)
        kept = numbers >= self.rate
        with tf.control_dependencies([kept]):
            self.step.assign_add(1)
        dropped = tf.where(kept, inputs, tf.zeros([], inputs.dtype))
        return dropped if self.convention == "original" else dropped / keep

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rate": self.rate,
            "convention": self.convention,
            "seed": self.seed,
        }


def _own_rows_of_uniform(shape: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """A replica's rows of a step's uniform numbers for the global batch: 0 to 1.

    `shape` [2] of the replica's own rows. Philox (Salmon et al., 2011) with `seed` as the
    key; of its 128-bit counter, each value of which makes four numbers, the upper half is
    the step and the lower the place, so that the rows of others are passed over, not
    drawn. `tf.random.stateless_uniform` would make key and counter of the seed on the
    host, and a GPU's step wait for it.
    """
    philox = 1
    key = tf.constant([seed % 2**64], tf.uint64)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        counter = tf.bitcast(tf.stack([tf.zeros_like(step), step]), tf.uint64)
        return tf.raw_ops.StatelessRandomUniformV2(
            shape=shape, key=key, counter=counter, alg=philox
        )
    with tf.device("/CPU:0"):
        size = tf.cast(tf.reduce_prod(shape), tf.int64)
        skipped = tf.cast(context.replica_id_in_sync_group, tf.int64) * size
        drawn = skipped % 4 + size
    counter = tf.bitcast(tf.stack([skipped // 4, step]), tf.uint64)
    numbers = tf.raw_ops.StatelessRandomUniformV2(
        shape=drawn[None], key=key, counter=counter, alg=philox
    )
    return tf.reshape(numbers[skipped % 4 :], shape)


def finish(image, mirror, shift, gain, mean) -> tf.Tensor:
    """(image + shift - mean) * gain of uint8 crops, some of them mirrored: float32.

    `image` uint8 [N, H, W, 3], `mirror` bool [N], `shift` float32 [N, 3] in pixel
    values, `gain` float32 [N]; `mean` float32, [H, W, 3] or what broadcasts to it.
    """
    rows = [-1, 1, 1]
    image = tf.where(tf.reshape(mirror, [*rows, 1]), image[:, :, ::-1], image)
    centred = tf.cast(image, tf.float32) - mean
    shifted = centred + tf.reshape(shift, [*rows, 3])
    return shifted * tf.reshape(gain, [*rows, 1])


class Preprocessing(keras.layers.Layer):
    """uint8 crops to the net's input, where the tower lives: see `finish`.

    The host sends bytes. With `jit`, XLA makes one pass of what is a dozen (at batch
    128 on two busy cores 17 ms against 590); an export leaves it out, for a stock server
    refuses compiled functions. Output: [N, H, W, 3] in the compute type.
    """

    def __init__(self, mean: np.ndarray, jit: bool = True, **kwargs: Any):
        super().__init__(autocast=False, **kwargs)
        mean = np.asarray(mean, np.float32)

        def finished(image, mirror, shift, gain):
            image = finish(image, mirror, shift, gain, mean)
            return tf.cast(image, self.compute_dtype)

        self._finished = tf.function(finished, jit_compile=True) if jit else finished

    def call(self, image, mirror, shift, gain):
        return self._finished(image, mirror, shift, gain)

    def compute_output_spec(self, image, mirror, shift, gain):
        return keras.KerasTensor(image.shape, dtype=self.compute_dtype)
