"""One tower's part of a map that holds the channels of all towers."""

from typing import Any

import keras

from alexnet_tf.models.layers import arguments


@keras.saving.register_keras_serializable(package="alexnet_tf")
class ChannelPart(keras.layers.Layer):
    """Returns one of `parts` equal parts of the channels, which follow each other.

    Args:
        part: the number of the part, from 0.
        parts: the number of parts.

    Input: [N, H, W, C], where `parts` divides C. Output: [N, H, W, C / parts].

    Raises:
        ValueError: `parts` is below 1, there is no part `part`, the input does not have
            four axes, or its channels cannot be divided.

    Example:
        >>> x = keras.ops.reshape([1.0, 2.0, 3.0, 4.0], [1, 1, 1, 4])
        >>> ChannelPart(1, 2)(x).numpy().ravel().tolist()
        [3.0, 4.0]
    """

    def __init__(self, part: int, parts: int, **kwargs: Any):
        super().__init__(**kwargs)
        self.parts = arguments.count("parts", parts)
        if part not in range(parts):
            raise ValueError(f"part must be from 0 to {parts - 1}, got {part!r}")
        self.part = part
        self.input_spec = keras.layers.InputSpec(ndim=4)

    def call(self, inputs):
        count = self._count(inputs.shape)
        return inputs[..., self.part * count : (self.part + 1) * count]

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], self._count(input_shape))

    def _count(self, shape) -> int:
        if shape[-1] % self.parts:
            raise ValueError(
                f"{shape[-1]} channels cannot be divided into {self.parts} equal parts"
            )
        return shape[-1] // self.parts

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {"part": self.part, "parts": self.parts}
