"""TFLite and ONNX files of a net, for devices without TensorFlow.

Neither format decodes pictures. Both files take `image`, RGB pixels 0-255 as float32
[N, C, C, 3], cropped to the net's own side, and give `probabilities` float32
[N, classes]; the mean is inside. The class names travel in the file: in TFLite as
`labels.txt` in the archive that ends it (any unzip reads it), in ONNX as the metadata
`labels`, a name a line.
"""

import pathlib
import warnings
import zipfile
from collections.abc import Sequence

import keras
import numpy as np
import tensorflow as tf
from tensorflow.python.framework import convert_to_constants

from alexnet_tf.data import prepared_dataset, records
from alexnet_tf.models import resizing

LABELS = "labels.txt"


OPSET = 18


# What "int8" leaves in float32, beside the LRN, which TFLite has nothing else for.
# SOFTMAX: in int8 its steps are 1/256, and most of 1,000 classes are 0. BATCH_MATMUL,
# the unshared layers of cifar10_11pct: TensorFlow 2.21 computes int8 ones wrongly where
# its XNNPACK does, which is the default (other kernels are right).
_FLOAT_OPERATIONS = ["SOFTMAX", "BATCH_MATMUL"]


def function(net: keras.Model, mean: np.ndarray):
    """The tf.function of both formats.

    `net` takes finished pictures and gives probabilities, of stock operations; `mean`
    float32 [C, C, 3].
    """
    spec = tf.TensorSpec([None, *mean.shape], tf.float32, name="image")

    @tf.function(input_signature=[spec])
    def classify(image):
        return {"probabilities": net(image - mean, training=False)}

    return classify


def save_tflite(
    net: keras.Model,
    path: pathlib.Path,
    *,
    mean: np.ndarray,
    classes: Sequence[str],
    precision: str,
    calibration: np.ndarray | None = None,
) -> None:
    """Writes `net` as a TFLite file.

    Args:
        net, mean: as `function`'s.
        precision: of the weights, "float32" or "float16", or of weights and
            activations, "int8", but for `_FLOAT_OPERATIONS`.
        calibration: pictures float32 [N, C, C, 3] whose activations set the
            ranges of "int8".
    """
    # Frozen first: the converter would leave variables, which calibration cannot run.
    frozen = convert_to_constants.convert_variables_to_constants_v2(
        function(net, mean).get_concrete_function()
    )
    converter = tf.lite.TFLiteConverter.from_concrete_functions([frozen])
    if precision != "float32":
        converter.optimizations = [tf.lite.Optimize.DEFAULT]
    if precision == "float16":
        converter.target_spec.supported_types = [tf.float16]
    if precision == "int8":
        if calibration is None:
            raise ValueError("precision int8 needs calibration images")
        converter.representative_dataset = lambda: ([p[None]] for p in calibration)
        # A debugger only by name: it is how TFLite leaves operations out.
        encoded = tf.lite.experimental.QuantizationDebugger(
            converter=converter,
            debug_dataset=converter.representative_dataset,
            debug_options=tf.lite.experimental.QuantizationDebugOptions(
                denylisted_ops=_FLOAT_OPERATIONS
            ),
        ).get_nondebug_quantized_model()
    else:
        encoded = converter.convert()
    path.write_bytes(encoded)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr(LABELS, "\n".join(classes) + "\n")


def save_onnx(
    net: keras.Model, path: pathlib.Path, *, mean: np.ndarray, classes: Sequence[str]
) -> None:
    """Writes `net` as an ONNX file. Raises ModuleNotFoundError without tf2onnx."""
    try:
        import onnx
        import tf2onnx
    except ModuleNotFoundError as error:
        raise OSError(
            f"--format=onnx needs {error.name}: pip install 'alexnet_tf[onnx]'"
        ) from None
    classify = function(net, mean)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tf2onnx on NumPy and protobuf
        model, _ = tf2onnx.convert.from_function(
            classify, input_signature=classify.input_signature, opset=OPSET
        )
    onnx.helper.set_model_props(model, {"labels": "\n".join(classes)})
    onnx.save(model, path)


CALIBRATION_PICTURES = 100


def calibration(
    dataset: prepared_dataset.Dataset, side: int, count: int = CALIBRATION_PICTURES
) -> np.ndarray:
    """Centre crops of training pictures, evenly spread: float32 [N, side, side, 3]."""
    source = records.open_records(dataset, "train")
    indices = np.linspace(0, len(source) - 1, min(count, len(source))).astype(int)
    images = [
        records.decode_image(source[index].encoded, dataset.size, dataset.encoding)
        for index in indices.tolist()
    ]
    return resizing.center_crop(np.stack(images), side).astype(np.float32)
