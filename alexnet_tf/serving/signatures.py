"""The functions of an export: encoded images or pixels in, classes or features out.

Preprocessing is part of them: decoding, resizing by the net's rule, the center crop or
the ten views, and subtracting the mean. Every input and output has the batch in its
first dimension.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
import tensorflow as tf

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import image_limits, resize_rule, resizing
from alexnet_tf.serving import graph_decoding

DEFAULT = "serving_default"
CLASSIFY = "classify"


# Images of one request that are decoded at the same time, if they are not too large.
_AT_ONCE = 10


class Signature(NamedTuple):
    """A function and its one input."""

    function: Callable[[tf.Tensor], dict[str, tf.Tensor]]
    input: tf.TensorSpec


class Signatures:
    """The signatures of a trained net.

    Args:
        net: a model that takes finished images, float32 [N, C, C, 3], and returns
            probabilities. If it is to be exported, it must consist of stock operations.
        architecture: the architecture of `net`.
        mean: what is subtracted from an image to finish it, [C, C, 3] or [3].
        classes: the names of the classes, in the order of the logits.
        top: how many classes to return, best first.
        crops: 1 for the center crop, or 10 for the views of the paper's section 4.1.
            Probabilities and features are averaged over the views.
        background: the color behind transparent pixels.
        resize: how an image of any shape becomes a square.

    Raises:
        ValueError: `crops` is neither 1 nor 10.

    Example::

        served = Signatures(
            net, architecture, mean=mean, classes=classes, top=5, crops=1
        ).all()
        function, spec = served["serving_default"]
        outputs = function(tf.constant([image_bytes]))
    """

    def __init__(
        self,
        net: keras.Model,
        architecture: architectures.Architecture,
        *,
        mean: np.ndarray,
        classes: Sequence[str],
        top: int,
        crops: int,
        background: backgrounds.Color = backgrounds.WHITE,
        resize: resize_rule.Rule = resize_rule.DEFAULT,
    ):
        if crops not in (1, resizing.VIEWS):
            raise ValueError(f"crops must be 1 or {resizing.VIEWS}, got {crops}")
        last = architecture.layers[-1]
        assert isinstance(last, architectures.Dense)
        self._net = keras.Model(
            net.inputs, [net.output, net.get_layer(last.name).input]
        )
        self._mean = tf.constant(mean, tf.float32)
        self._classes = tf.constant(list(classes))
        self._size = architecture.record_size
        self._crop = architecture.input_size
        self._resize = resize
        self._top = min(top, len(classes))
        self._crops = crops
        # Functions of their own, which every signature calls: the decoders are most of
        # the graph.
        self._announced_size = _as_one_function(
            graph_decoding.announced_size, tf.TensorSpec([], tf.string)
        )
        self._decoded_views = _as_one_function(
            lambda encoded, size: self._views(
                graph_decoding.decode(encoded, size, background)
            ),
            tf.TensorSpec([], tf.string),
            tf.TensorSpec([2], tf.int32),
        )

    def all(self) -> dict[str, Signature]:
        """Returns every signature by its name."""
        strings = [None]
        pixels = [None, None, None, 3]
        return {
            DEFAULT: Signature(
                self.classify_encoded, tf.TensorSpec(strings, tf.string, "image_bytes")
            ),
            "predict_images": Signature(
                self.classify_pixels, tf.TensorSpec(pixels, tf.uint8, "image")
            ),
            "predict_float_images": Signature(
                self.classify_pixels, tf.TensorSpec(pixels, tf.float32, "image")
            ),
            CLASSIFY: Signature(
                self.classify_examples, tf.TensorSpec(strings, tf.string, "inputs")
            ),
            "features": Signature(
                self.extract_features, tf.TensorSpec(strings, tf.string, "image_bytes")
            ),
        }

    def classify_encoded(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies encoded images.

        Args:
            image_bytes: JPEG, PNG, GIF or BMP, string [N].

        Returns:
            `classes` string [N, top] and `scores` float32 [N, top], best first, and
            `probabilities` float32 [N, classes].
        """
        return self._classify_views(self._decode_views(image_bytes))

    def classify_pixels(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies images that are decoded already.

        Args:
            image: RGB pixels 0-255, uint8 or float32 [N, H, W, 3].

        Returns:
            The outputs of `classify_encoded`.
        """
        image = _check_count(image)
        shape = tf.shape(image)
        with tf.control_dependencies(
            [graph_decoding.check_size(shape[1], shape[2], "image")]
        ):
            image = tf.identity(image)
        if image.dtype.is_floating:
            image = tf.debugging.check_numerics(image, "image")
        sizes = tf.tile(shape[None, 1:3], [shape[0], 1])
        return self._classify_views(self._map_batch(self._views, image, sizes))

    def classify_examples(self, inputs: tf.Tensor) -> dict[str, tf.Tensor]:
        """Classifies the encoded images in examples, for a server's Classify API.

        Args:
            inputs: serialized `tf.train.Example`s with `image/encoded`, string [N].

        Returns:
            `classes` and `scores` [N, top]; the Classify API allows no other outputs.
        """
        features = {"image/encoded": tf.io.FixedLenFeature([], tf.string)}
        encoded = tf.io.parse_example(inputs, features)["image/encoded"]
        answer = self.classify_encoded(encoded)
        return {name: answer[name] for name in ("classes", "scores")}

    def extract_features(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Computes the last hidden layer's activations, as the last layer reads them.

        The paper compares images by the distance between these vectors (section 6.1).

        Args:
            image_bytes: JPEG, PNG, GIF or BMP, string [N].

        Returns:
            `features` float32 [N, units]; AlexNet has 4,096 units.
        """
        _, features = self._run_net(self._decode_views(image_bytes))
        return {"features": features}

    def _views(self, image: tf.Tensor) -> tf.Tensor:
        """uint8 or float [H, W, 3] to the net's views, uint8 [crops, C, C, 3]."""
        square = resizing.resize(image, self._size, self._resize)
        square = tf.ensure_shape(square, [self._size, self._size, 3])
        if self._crops == 1:
            return resizing.center_crop(square, self._crop)[None]
        return resizing.views(square, self._crop)

    def _decode_views(self, image_bytes: tf.Tensor) -> tf.Tensor:
        """Encoded images, string [N], to their views, uint8 [N, crops, C, C, 3]."""
        image_bytes = _check_count(image_bytes)
        total = tf.reduce_sum(tf.cast(tf.strings.length(image_bytes), tf.int64))
        most = image_limits.MAX_REQUEST_BYTES
        check = tf.debugging.Assert(
            total <= most, [f"image_bytes: more than {most} bytes in one request"]
        )
        with tf.control_dependencies([check]):
            image_bytes = tf.identity(image_bytes)
        sizes = tf.map_fn(
            self._announced_size,
            image_bytes,
            fn_output_signature=tf.TensorSpec([2], tf.int32),
        )
        return self._map_batch(
            lambda one: self._decoded_views(*one),
            (image_bytes, sizes),
            sizes,
        )

    def _map_batch(self, function: Callable, batch: Any, sizes: tf.Tensor) -> tf.Tensor:
        """Calls `function` for each image of a batch: uint8 [N, crops, C, C, 3].

        Args:
            function: from one image to its views.
            batch: tensors whose first dimension is the batch.
            sizes: int32 [N, 2], the height and the width of each image.
        """
        pixels = tf.reduce_prod(tf.cast(sizes, tf.int64), axis=1)
        most = image_limits.MAX_REQUEST_PIXELS
        check = tf.debugging.Assert(
            tf.reduce_sum(pixels) <= most, [f"more than {most} pixels in one request"]
        )
        with tf.control_dependencies([check]):
            batch = tf.nest.map_structure(tf.identity, batch)
        largest, _ = tf.math.top_k(pixels, tf.minimum(tf.size(pixels), _AT_ONCE))
        count, fits = tf.size(pixels), image_limits.MAX_PIXELS_AT_ONCE
        step = tf.where(tf.reduce_sum(largest) <= fits, count, 1)
        shape = [self._crops, self._crop, self._crop, 3]

        def map_part(start, views):
            part = tf.nest.map_structure(lambda rows: rows[start : start + step], batch)
            mapped = tf.map_fn(
                function,
                part,
                fn_output_signature=tf.TensorSpec(shape, tf.uint8),
                parallel_iterations=_AT_ONCE,
            )
            return start + step, views.write(start // step, mapped)

        _, views = tf.while_loop(
            lambda start, _: start < count,
            map_part,
            [
                0,
                tf.TensorArray(
                    tf.uint8,
                    (count + step - 1) // step,
                    infer_shape=False,
                    element_shape=[None, *shape],
                ),
            ],
            parallel_iterations=1,
        )
        return tf.ensure_shape(views.concat(), [None, *shape])

    def _run_net(self, views: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
        """Means over the views: probabilities [N, classes], features [N, units]."""
        flat = tf.reshape(views, [-1, self._crop, self._crop, 3])
        finished = tf.cast(flat, tf.float32) - self._mean
        probabilities, hidden = self._net(finished, training=False)
        return (
            self._mean_over_views(probabilities),
            self._mean_over_views(tf.cast(hidden, tf.float32)),
        )

    def _mean_over_views(self, rows: tf.Tensor) -> tf.Tensor:
        """[N * crops, K] to [N, K]."""
        if self._crops == 1:
            return rows
        return tf.reduce_mean(
            tf.reshape(rows, [-1, self._crops, rows.shape[-1]]), axis=1
        )

    def _classify_views(self, views: tf.Tensor) -> dict[str, tf.Tensor]:
        probabilities, _ = self._run_net(views)
        scores, indices = tf.math.top_k(probabilities, self._top)
        return {
            "classes": tf.gather(self._classes, indices),
            "scores": scores,
            "probabilities": probabilities,
        }


def _check_count(batch: tf.Tensor) -> tf.Tensor:
    """Returns `batch` once it is found to have images, and not too many of them."""
    count, most = tf.shape(batch)[0], image_limits.MAX_REQUEST_IMAGES
    # For an empty batch, the convolutions that a server fuses fail with an error that
    # nobody could understand.
    checks = [
        tf.debugging.Assert(count > 0, ["the batch contains no images"]),
        tf.debugging.Assert(count <= most, [f"more than {most} images in one request"]),
    ]
    with tf.control_dependencies(checks):
        return tf.identity(batch)


def _as_one_function(function: Callable, *specs: tf.TensorSpec) -> Callable:
    """Returns `function` as one function of the graph, however often it is called."""
    return tf.function(function, input_signature=specs, autograph=False)
