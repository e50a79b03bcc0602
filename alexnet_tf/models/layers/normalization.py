"""The two normalizations: across channels (LRN), and within one map.

The arithmetic is float32 whatever the compute type is.
"""

from typing import Any, Literal, get_args

import keras
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models.layers import arguments

Implementation = Literal["auto", "op", "stock"]


class _Normalization(keras.layers.Layer):
    """x / (k + alpha * sum of squares in a window of `size`)^beta.

    This class holds the constants and the choice of the implementation. Subclasses
    define the window and name the op of this package.

    Attributes:
        chosen: "op" or "stock", what computed it on the device that it was built on;
            None before.
    """

    _OP: str

    def __init__(
        self,
        size: int,
        k: float,
        alpha: float,
        beta: float,
        implementation: Implementation,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        self.size = arguments.window_size("size", size)
        self.k = k
        self.alpha = alpha
        self.beta = beta
        self.implementation = arguments.one_of(
            "implementation", implementation, get_args(Implementation)
        )
        self.chosen: Literal["op", "stock"] | None = None
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def build(self, input_shape):
        # Not at the first call only, because a model of Keras' functional API is built
        # long before that.
        self.chosen = "op" if self._uses_op(self.compute_dtype) else "stock"

    def _uses_op(self, dtype) -> bool:
        """Whether this package's op computes values of this type here.

        Raises ValueError if the implementation is "op" and the op cannot compute here.
        """
        return self.implementation != "stock" and ops.availability.is_usable(
            self._OP, tf.as_dtype(dtype), demanded=self.implementation == "op"
        )

    def _constants(self) -> dict[str, Any]:
        return {"size": self.size, "k": self.k, "alpha": self.alpha, "beta": self.beta}

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return (
            super().get_config()
            | self._constants()
            | {"implementation": self.implementation}
        )


@keras.saving.register_keras_serializable(package="alexnet_tf")
class LocalResponseNormalization(_Normalization):
    """b_i = a_i / (k + alpha * sum a_j^2)^beta over the `size` nearest channels.

    Paper, section 3.3, whose constants are the defaults. The sum ends at the first and
    the last channel. `alpha` multiplies the sum itself; the 2012 program divides alpha
    by `size`, which `alpha=2e-5` expresses here.

    Args:
        size: the number of channels in a window, the paper's n; it must be odd.
        k, alpha, beta: the constants of the formula.
        implementation: "auto" is "op" if the op library has a kernel for the device
            that the layer is on, and otherwise "stock", which a warning says once. "op"
            uses this package's own op. Under `jit_compile=True`, where XLA cannot
            compile that op, both use the same formula in TensorFlow's operations.
            "stock" uses `tf.nn.local_response_normalization` in float32, for models
            that are exported.

    Input and output: [N, H, W, C], in float32, bfloat16 or float16.

    Raises:
        ValueError: `size` is even or below 1, `implementation` is unknown, or it is
            "op" and the op cannot compute on the device, or the input does not have
            four axes.

    Example:
        >>> layer = LocalResponseNormalization(k=1.0, alpha=1.0, beta=1.0)
        >>> layer(tf.ones([1, 1, 1, 1])).numpy().item()
        0.5
    """

    _OP = ops.availability.LRN

    def __init__(
        self,
        size: int = 5,
        k: float = 2.0,
        alpha: float = 1e-4,
        beta: float = 0.75,
        implementation: Implementation = "auto",
        **kwargs: Any,
    ):
        super().__init__(size, k, alpha, beta, implementation, **kwargs)
        # XLA cannot compile the op, and what replaces the op there is slower. With
        # this, Keras' jit_compile="auto" does not choose XLA.
        self.supports_jit = implementation == "stock"

    def call(self, inputs):
        if self.implementation != "stock" and ops.being_compiled():
            return ops.local_response_normalization_xla(inputs, **self._constants())
        if self._uses_op(inputs.dtype):
            return ops.local_response_normalization(inputs, **self._constants())
        normalized = tf.nn.local_response_normalization(
            tf.cast(inputs, tf.float32),
            depth_radius=self.size // 2,
            bias=self.k,
            alpha=self.alpha,
            beta=self.beta,
        )
        return tf.cast(normalized, inputs.dtype)


@keras.saving.register_keras_serializable(package="alexnet_tf")
class SpatialNormalization(_Normalization):
    """Normalization within one map: the 2012 program's layer type `rnorm` (`cnorm2`).

    y = x / (k + alpha * sum x^2)^beta, where the sum is over the `size` x `size` square
    around the position, in the same map.

    Args:
        size: side of the square; it must be odd.
        k, alpha, beta: the constants of the formula; the defaults are those of the 2012
            program.
        implementation: "auto" is "op" on a CPU if the op library is there, and
            otherwise "stock", which a warning says once. "op" uses this package's own
            op, which has no GPU kernel. Under `jit_compile=True`, both are the same as
            "stock", which uses TensorFlow's operations.

    Input and output: [N, H, W, C].

    Raises:
        ValueError: `size` is even or below 1, `implementation` is unknown, or it is
            "op" and the op cannot compute on the device, or the input does not have
            four axes.

    Example:
        >>> layer = SpatialNormalization(size=1, k=1.0, alpha=1.0, beta=1.0)
        >>> layer(tf.ones([1, 1, 1, 1])).numpy().item()
        0.5
    """

    _OP = ops.availability.SPATIAL

    def __init__(
        self,
        size: int = 5,
        k: float = 1.0,
        alpha: float = 0.001 / 25,
        beta: float = 0.75,
        implementation: Implementation = "auto",
        **kwargs: Any,
    ):
        super().__init__(size, k, alpha, beta, implementation, **kwargs)

    def call(self, inputs):
        use_op = not ops.being_compiled() and self._uses_op(inputs.dtype)
        normalize = (
            ops.spatial_normalization if use_op else ops.spatial_normalization_stock
        )
        return normalize(inputs, **self._constants())


def normalization_of(net: keras.Model) -> str:
    """Returns what computes the normalizations of a net: "op", "stock" or "op, stock".

    It is "" if there are none.
    """
    found = {
        layer.chosen
        for layer in net.layers
        if isinstance(layer, _Normalization) and layer.chosen is not None
    }
    return ", ".join(sorted(found))
