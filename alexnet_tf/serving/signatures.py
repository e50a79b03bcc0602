"""The functions of an export: encoded or plain pictures in, classes or features out.

Preprocessing is inside: decoding, the one resize rule, the centre crop or the ten views,
the mean. Every input and output is batched in its first dimension.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import keras
import tensorflow as tf

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import layers, resizing
from alexnet_tf.serving import graph_decoding

DEFAULT = "serving_default"


CLASSIFY = "classify"


class Signature(NamedTuple):
    """A function and its one input."""

    function: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    input: tf.TensorSpec


class Signatures:
    """Over `net`, a model of `evaluate.plain_inputs` to logits.

    Args:
        net: with stock operations where it is to be exported.
        architecture: the net's.
        classes: their names.
        top: how many are returned, best first.
        crops: 1, the centre crop, or 10, the views of paper section 4.1, over which
            softmax outputs and features are averaged.
    """

    def __init__(
        self,
        net: keras.Model,
        architecture: architectures.Architecture,
        *,
        classes: Sequence[str],
        top: int,
        crops: int,
    ):
        if crops not in (1, resizing.VIEWS):
            raise ValueError(f"crops must be 1 or {resizing.VIEWS}, got {crops}")
        last = architecture.layers[-1]
        assert isinstance(last, architectures.Dense)
        self._net = keras.Model(
            net.inputs, [net.output, net.get_layer(last.name).input]
        )
        self._classes = tf.constant(list(classes))
        self._size = architecture.record_size
        self._crop = architecture.input_size
        self._top = min(top, len(classes))
        self._crops = crops

    def all(self) -> dict[str, Signature]:
        """Every signature by name."""
        strings = [None]
        pixels = [None, None, None, 3]
        return {
            DEFAULT: Signature(
                self.images, tf.TensorSpec(strings, tf.string, "image_bytes")
            ),
            "predict_images": Signature(
                self.pixels, tf.TensorSpec(pixels, tf.uint8, "image")
            ),
            "predict_float_images": Signature(
                self.pixels, tf.TensorSpec(pixels, tf.float32, "image")
            ),
            CLASSIFY: Signature(
                self.classify, tf.TensorSpec(strings, tf.string, "inputs")
            ),
            "features": Signature(
                self.features, tf.TensorSpec(strings, tf.string, "image_bytes")
            ),
        }

    def images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded pictures, string [N], to `classes`, `scores` [N, top], `probabilities`."""
        return self._answer(self._decoded(image_bytes))

    def pixels(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """RGB pixels 0-255, uint8 or float32 [N, H, W, 3], to the same outputs."""
        shape = tf.shape(image)
        with tf.control_dependencies(
            [graph_decoding.check_size(shape[1], shape[2], "image")]
        ):
            image = tf.identity(image)
        if image.dtype.is_floating:
            image = tf.debugging.check_numerics(image, "image")
        return self._answer(self._mapped(self._views, image))

    def classify(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Serialized `tf.train.Example`s with `image/encoded`, string [N].

        Returns `classes` and `scores` [N, top], which is all that the Classify API of a
        server takes.
        """
        features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        encoded = tf.io.parse_example(inputs, features)["image/encoded"]
        answer = self.images(encoded)
        return {name: answer[name] for name in ("classes", "scores")}

    def features(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded pictures, string [N], to `features` float32 [N, units].

        The activations of the last hidden layer as the last layer reads them: the
        vector of the paper's section 6.1, by whose distance pictures are alike; 4,096
        numbers in AlexNet.
        """
        _, features = self._outputs(self._decoded(image_bytes))
        return {"features": features}

    def _views(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 or float [H, W, 3] to the views the net sees, uint8 [crops, C, C, 3]."""
        square = resizing.resize(image, self._size)
        square = tf.ensure_shape(square, [self._size, self._size, 3])
        if self._crops == 1:
            return resizing.center_crop(square, self._crop)[None]
        return resizing.views(square, self._crop)

    def _decoded(self, image_bytes: tf.Tensor) -> tf.Tensor:
        return self._mapped(
            lambda e: self._views(graph_decoding.decode(e)), image_bytes
        )

    def _mapped(self, function: Callable, batch: tf.Tensor) -> tf.Tensor:
        """`function` of each picture of a batch: uint8 [N, crops, C, C, 3]."""
        # Convolutions that a server fuses fail on no pictures, and say so in riddles.
        some = tf.debugging.Assert(tf.shape(batch)[0] > 0, ["a batch of no pictures"])
        with tf.control_dependencies([some]):
            batch = tf.identity(batch)
        shape = [self._crops, self._crop, self._crop, 3]
        return tf.map_fn(
            function, batch, fn_output_signature=tf.TensorSpec(shape, tf.uint8)
        )

    def _outputs(self, views: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Means over the views: probabilities [N, classes], features [N, units]."""
        flat = tf.reshape(views, [-1, self._crop, self._crop, 3])
        logits, hidden = self._net(layers.plain_inputs(flat), training=False)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        return self._mean(probabilities), self._mean(tf.cast(hidden, tf.float32))

    def _mean(self, rows: tf.Tensor) -> tf.Tensor:
        """[N * crops, K] to [N, K]."""
        if self._crops == 1:
            return rows
        return tf.reduce_mean(
            tf.reshape(rows, [-1, self._crops, rows.shape[-1]]), axis=1
        )

    def _answer(self, views: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities, _ = self._outputs(views)
        scores, indices = tf.math.top_k(probabilities, self._top)
        return {
            "classes": tf.gather(self._classes, indices),
            "scores": scores,
            "probabilities": probabilities,
        }
