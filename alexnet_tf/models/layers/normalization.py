"""The Keras layers that AlexNet needs and Keras does not have.

Channels last throughout: [N, H, W, C]. Arithmetic that decides digits (sums of squares,
powers, means) is done in float32 whatever the compute type.
"""

from typing import Any, Literal

import keras
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models.layers import arguments

Implementation = Literal["op", "stock"]


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
        self.implementation = arguments.one_of(
            "implementation", implementation, ("op", "stock")
        )
        # XLA cannot compile the op, and what stands in for it there is slower: saying
        # so keeps jit_compile="auto" off.
        self.supports_jit = implementation == "stock"
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        if self.implementation == "op":
            normalize = (
                ops.local_response_normalization_xla
                if ops.being_compiled()
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
        self.implementation = arguments.one_of(
            "implementation", implementation, ("op", "stock")
        )
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        by_op = (
            self.implementation == "op"
            and inputs.dtype in (tf.float32, tf.bfloat16)
            and ops.on_cpu()
            and not ops.being_compiled()
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
