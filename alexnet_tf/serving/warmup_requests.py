"""The requests that an export carries and a server replays while it loads it.

So a broken export fails before it takes traffic, and the first request is not slow. The
pictures are made here: none of the training data leaves in an export.

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

FOLDER = "assets.extra"


FILE = "tf_serving_warmup_requests"


def pictures() -> dict[str, bytes]:
    """A colourful picture of 80 x 64 pixels, encoded in each kind that is served."""
    coarse = np.random.default_rng(0).integers(0, 256, (4, 5, 3)).astype(np.uint8)
    image = Image.fromarray(coarse).resize((80, 64), Image.Resampling.BILINEAR)
    found = {}
    for kind in ("PNG", "JPEG", "GIF", "BMP"):
        buffer = io.BytesIO()
        image.save(buffer, kind)
        found[kind] = buffer.getvalue()
    return found


def serialized_example(encoded: bytes) -> bytes:
    """The `tf.train.Example` of an encoded picture, as `classify` takes it."""
    feature = tf.train.Feature(bytes_list=tf.train.BytesList(value=[encoded]))
    features = tf.train.Features(feature={"image/encoded": feature})
    return tf.train.Example(features=features).SerializeToString(deterministic=True)


def write(
    path: str | os.PathLike[str],
    specs: Mapping[str, tf.TensorSpec],
    classify: str,
) -> None:
    """Writes a request for each of `specs`, the inputs by signature, into `path`.

    `classify` names the signature that is asked by the Classify API.
    """
    encoded = list(pictures().values())
    pixels = np.asarray(Image.open(io.BytesIO(encoded[0])))
    folder = pathlib.Path(path) / FOLDER
    folder.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(folder / FILE)) as writer:
        for name, spec in specs.items():
            values: list[bytes] | np.ndarray = encoded
            if name == classify:
                values = [serialized_example(picture) for picture in encoded]
            elif spec.dtype != tf.string:
                values = pixels[None].astype(spec.dtype.as_numpy_dtype)
            log = _classify_log if name == classify else _predict_log
            writer.write(log(name, spec.name, values).SerializeToString())


def _predict_log(signature, key, values) -> prediction_log_pb2.PredictionLog:
    request = predict_pb2.PredictRequest()
    request.model_spec.signature_name = signature
    request.inputs[key].CopyFrom(tf.make_tensor_proto(values))
    return prediction_log_pb2.PredictionLog(
        predict_log=prediction_log_pb2.PredictLog(request=request)
    )


def _classify_log(signature, key, values) -> prediction_log_pb2.PredictionLog:
    request = classification_pb2.ClassificationRequest()
    request.model_spec.signature_name = signature
    examples = request.input.example_list.examples
    examples.extend(tf.train.Example.FromString(value) for value in values)
    return prediction_log_pb2.PredictionLog(
        classify_log=prediction_log_pb2.ClassifyLog(request=request)
    )


def read(path: str | os.PathLike[str]) -> Iterator[tuple[str, dict[str, np.ndarray]]]:
    """(signature, inputs by name) of each request in the export `path`."""
    file = pathlib.Path(path) / FOLDER / FILE
    if not file.exists():
        raise FileNotFoundError(f"{path} has no warm-up requests: there is no {file}")
    for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
        log = prediction_log_pb2.PredictionLog.FromString(record)
        if log.HasField("classify_log"):
            request = log.classify_log.request
            examples = request.input.example_list.examples
            values = [example.SerializeToString() for example in examples]
            yield (
                request.model_spec.signature_name,
                {"inputs": np.array(values, dtype=object)},
            )
        else:
            request = log.predict_log.request
            yield (
                request.model_spec.signature_name,
                {key: tf.make_ndarray(value) for key, value in request.inputs.items()},
            )
