"""Warm-up requests, which an export carries and a server replays while it loads it.

A broken export therefore fails before it receives traffic, and the first real request
is not slow. The images in the requests are generated here, so that an export contains
none of the training data.

    VERSION/assets.extra/tf_serving_warmup_requests    PredictionLog records
"""

import io
import os
import pathlib
from collections.abc import Iterator, Mapping

import numpy as np
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
)

from alexnet_tf.serving import model_versions

FILE = "tf_serving_warmup_requests"


def example_images() -> dict[str, bytes]:
    """Returns one colorful image of 80 x 64 pixels in each format that is served.

    The PNG is partly transparent, so that its answer depends on the background.

    The keys are "PNG", "JPEG", "GIF" and "BMP", the values are the encoded bytes.
    """
    coarse = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((80, 64), Image.Resampling.BILINEAR)
    transparent = image.copy()
    transparent.putalpha(Image.linear_gradient("L").resize(image.size))
    encoded = {}
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        buffer = io.BytesIO()
        (transparent if kind == "PNG" else image).save(buffer, kind)
        encoded[kind] = buffer.getvalue()
    return encoded


def serialized_example(encoded: bytes) -> bytes:
    """Returns the `tf.train.Example` of an encoded image, as `classify` reads it."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    features = tf.train.Features(feature={"image/encoded": feature})
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def write_warmup_requests(
    path: str | os.PathLike[str],
    specs: Mapping[str, tf.TensorSpec],
    classify_signature: str,
) -> None:
    """Writes one request for each signature into the export `path`.

    Args:
        path: the folder of the export's SavedModel.
        specs: the input of each signature, by the signature's name.
        classify_signature: the signature that servers call by the Classify API; the
            others are called by the Predict API.
    """
    encoded = list(example_images().values())
    pixels = np.asarray(Image.open(io.BytesIO(encoded[0])).convert("RGB"))
    folder = pathlib.Path(path) / model_versions.EXTRA_ASSETS
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for name, spec in specs.items():
            if name == classify_signature:
                log = _classify_log(name, encoded)
            elif spec.dtype == tf.string:
                log = _predict_log(name, spec.name, encoded)
            else:
                rows = pixels[None].astype(spec.dtype.as_numpy_dtype)
                log = _predict_log(name, spec.name, rows)
            writer.write(log.SerializeToString())


def _predict_log(
    signature: str, key: str, values: list[bytes] | np.ndarray
) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )


def _classify_log(
    signature: str, images: list[bytes]
) -> prediction_log_pb2.PredictionLog:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.signature_name = signature
    request.input.example_list.examples.extend(
        tf.train.Example.FromString(serialized_example(image)) for image in images
    )
    return prediction_log_pb2.PredictionLog(
        classify_log=prediction_log_pb2.ClassifyLog(request=request)
    )


def read_warmup_requests(
    path: str | os.PathLike[str],
) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """Yields the signature and the inputs by name of each request in an export.

    Args:
        path: the folder of the export's SavedModel.

    Raises:
        FileNotFoundError: the export carries no warm-up requests.
    """
    file = pathlib.Path(path) / model_versions.EXTRA_ASSETS / FILE
    if not file.exists():
        raise FileNotFoundError(
            f"{path} has no warm-up requests: {file} does not exist. "
            "python -m alexnet_tf.export writes them into every SavedModel."
        )
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        yield _parse_log(prediction_log_pb2.PredictionLog.FromString(record))


def _parse_log(
    log: prediction_log_pb2.PredictionLog,
) -> tuple[str, dict[str, np.ndarray]]:
    if log.HasField("classify_log"):
        request = log.classify_log.request
        examples = request.input.example_list.examples
        values = [example.SerializeToString() for example in examples]
        inputs = {"inputs": np.array(values, dtype=object)}
    else:
        request = log.predict_log.request
        inputs = {key: tf.make_ndarray(value) for key, value in request.inputs.items()}
    return request.model_spec.signature_name, inputs
