"""Checkpoint -> a model that others run: a stock TensorFlow Serving, TFLite, ONNX, Keras.

    python -m alexnet_tf.export --checkpoint=runs/demo --output=runs/demo/export
    python -m alexnet_tf.export --check=runs/demo/export

Writes OUTPUT/VERSION/, under another name first. The graph holds stock operations only:
the LRN is TensorFlow's, and preprocessing is inside. `--check` examines an export as a
server would run it and compares it with its checkpoint.
"""

import pathlib
from collections.abc import Sequence

import keras
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from alexnet_tf.models import architecture as architectures
from alexnet_tf.serving import signatures, tflite_onnx, warmup_requests

LABELS = tflite_onnx.LABELS


ORIGIN = "alexnet_tf.json"  # in assets.extra: what `--check` compares with


# Largest difference of a probability, or of a feature in parts of the largest.
TOLERANCE = {"float32": 1e-5, "bfloat16": 0.03}


def save_model(
    net: keras.Model,
    path: pathlib.Path,
    *,
    architecture: architectures.Architecture,
    classes: Sequence[str],
    top: int,
    crops: int,
) -> None:
    """Writes a SavedModel with every signature of `signatures`, and its warm-up.

    `net` takes `evaluate.plain_inputs` and has stock operations only.
    """
    served = signatures.Signatures(
        net, architecture, classes=classes, top=top, crops=crops
    ).all()
    archive = keras.export.ExportArchive()
    for name, (function, spec) in served.items():
        archive.add_endpoint(name, function, input_signature=[spec])
    archive.write_out(str(path), verbose=False)
    _name_method(path / "saved_model.pb", signatures.CLASSIFY)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / LABELS).write_text("\n".join(classes) + "\n")
    warmup_requests.write_warmup_requests(
        path, {name: s.input for name, s in served.items()}, signatures.CLASSIFY
    )


def _name_method(file: pathlib.Path, signature: str) -> None:
    """Marks a signature as one of the Classify API, which Keras cannot say."""
    saved = saved_model_pb2.SavedModel.FromString(file.read_bytes())
    for graph in saved.meta_graphs:
        method = tf.saved_model.CLASSIFY_METHOD_NAME
        graph.signature_def[signature].method_name = method
    file.write_bytes(saved.SerializeToString(deterministic=True))
    # It holds hashes of the file as it was, and may be absent.
    file.with_name("fingerprint.pb").unlink()
