"""TFLite and ONNX files of a net, for devices without TensorFlow.

Neither format decodes images. Both files take `image`, RGB pixels 0-255 as float32
[N, C, C, 3], cropped to the side C of the net's input, and return `probabilities`
float32 [N, classes]; subtracting the mean is part of them. The files contain the names
of the classes, one per line, and say in JSON which checkpoint they were made of. In
TFLite these are `labels.txt` and `alexnet_tf.json` in the zip archive at the end of the
file, which any unzip reads; in ONNX they are the metadata entries `labels` and
`alexnet_tf`.
"""

import json
import pathlib
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from alexnet_tf.data import prepared_dataset, records
from alexnet_tf.models import resizing
from alexnet_tf.runtime import log_noise
from alexnet_tf.serving import model_versions

LABELS = "labels.txt"
OPSET = 18
CALIBRATION_IMAGES = 100

# What "int8" leaves in float32, beside the LRN, for which TFLite has no other kernel.
# SOFTMAX: in int8 its steps are 1/256, and most of 1,000 classes would be 0.
# BATCH_MATMUL, in the unshared layers of cifar10_11pct: TensorFlow 2.21 computes it
# wrongly in int8 with XNNPACK, which is the default (its other kernels are right).
_FLOAT_OPERATIONS = ["SOFTMAX", "BATCH_MATMUL"]


def probability_function(net: keras.Model, mean: np.ndarray):
    """Returns the tf.function that both formats hold.

    Args:
        net: a model of stock operations that takes images without their mean, float32
            [N, C, C, 3], and returns probabilities.
        mean: float32 [C, C, 3].

    Returns:
        A tf.function of `image`, float32 [N, C, C, 3], 0-255, that returns a dict with
        `probabilities`.
    """
    spec = tf.TensorSpec([None, *mean.shape], tf.float32, name="image")

    @tf.function(input_signature=[spec], autograph=False)
    def classify(image):
        return {"probabilities": net(image - mean, training=False)}

    return classify


def save_tflite(
    net: keras.Model,
    path: pathlib.Path,
    *,
    mean: np.ndarray,
    classes: Sequence[str],
    origin: Mapping[str, Any],
    precision: str,
    calibration: np.ndarray | None = None,
) -> None:
    """Writes a net as a TFLite file.

    Args:
        net, mean: as in `probability_function`.
        path: the file to write.
        classes: the names of the classes.
        origin: what the net was made of, as plain data for JSON.
        precision: "float32" or "float16" for the weights; "int8" for weights and
            activations, except in `_FLOAT_OPERATIONS`.
        calibration: images float32 [N, C, C, 3], 0-255. Their activations determine the
            ranges of "int8", which needs them; other precisions ignore them.

    Raises:
        ValueError: "int8" was given no calibration images.
    """
    # Variables become constants first: the converter would leave them as they are, and
    # then calibration cannot run the model.
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        probability_function(net, mean).get_concrete_function()
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        if calibration is None:
            raise ValueError("precision int8 needs calibration images, got none")
        encoded = _quantize(converter, calibration)
    else:
        encoded = converter.convert()
    path.write_bytes(encoded)
    append_files(path, classes=classes, origin=origin)


def origin_text(origin: Mapping[str, Any]) -> str:
    """The JSON text by which an export says what it was made of."""
    return json.dumps(origin, indent=1) + "\n"


def append_files(
    path: pathlib.Path,
    *,
    origin: Mapping[str, Any],
    classes: Sequence[str] | None = None,
) -> None:
    """Adds `model_versions.ORIGIN`, and `LABELS` if there are names, to the zip archive in a file.

    A file that has none gets one at its end, which TFLite ignores.
    """
    with zipfile.ZipFile(path, "a") as archive:
        if classes is not None:
            archive.writestr(LABELS, "\n".join(classes) + "\n")
        archive.writestr(model_versions.ORIGIN, origin_text(origin))


def _quantize(converter: tf.lite.TFLiteConverter, calibration: np.ndarray) -> bytes:
    converter.representative_dataset = lambda: ([image[None]] for image in calibration)
    with log_noise.held_back():  # it prints its options, and warns of its own end
        # It is called a debugger, but it is TFLite's way to leave operations in float32.
        return tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=converter.representative_dataset,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                denylisted_ops=_FLOAT_OPERATIONS
            ),
        ).get_nondebug_quantized_model()


def save_onnx(
    net: keras.Model,
    path: pathlib.Path,
    *,
    mean: np.ndarray,
    classes: Sequence[str],
    origin: Mapping[str, Any],
) -> None:
    """Writes a net as an ONNX file.

    Args:
        net, mean: as in `probability_function`.
        path: the file to write.
        classes: the names of the classes.
        origin: what the net was made of, as plain data for JSON.

    Raises:
        OSError: onnx or tf2onnx is not installed.
    """
    try:
        import onnx
        import tf2onnx
    except ModuleNotFoundError as error:
        raise OSError(
            f"--format=onnx needs the package {error.name}, which is not installed: "
            "pip install 'alexnet_tf[onnx]'"
        ) from None
    classify = probability_function(net, mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx's warnings about NumPy and protobuf
        model, _ = tf2onnx.convert.from_function(
            classify, input_signature=classify.input_signature, opset=OPSET
        )
    entries = {"labels": "\n".join(classes), "alexnet_tf": origin_text(origin)}
    onnx.helper.set_model_props(model, entries)
    onnx.save(model, path)


def calibration_images(
    dataset: prepared_dataset.Dataset, side: int, count: int = CALIBRATION_IMAGES
) -> np.ndarray:
    """Returns center crops of training images, spread evenly over the training set.

    Args:
        dataset: a prepared dataset.
        side: the side of the crops, in pixels.
        count: how many images to return; fewer if the training set is smaller.

    Returns:
        float32 [count, side, side, 3], 0-255.
    """
    source = records.open_records(dataset, "train")
    indices = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)
    images = [
        records.decode_image(source[index].encoded, dataset.size, dataset.encoding)
        for index in indices.tolist()
    ]
    return resizing.center_crop(np.stack(images), side).astype(np.float32)
