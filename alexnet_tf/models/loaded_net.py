"""A trained net to use in Python: pixels in, classes or features out."""

import os
import zipfile
from collections.abc import Sequence

import keras
import numpy as np

from alexnet_tf.models import (
    architecture_json,
    image_resizing,
    layer_outputs,
    layers,
    trained,
)
from alexnet_tf.runtime import suggestions

# Images that LoadedNet computes at the same time.
_BATCH = 128


class LoadedNet:
    """A trained net to use in Python, which turns pixels into classes or features.

    Attributes:
        model: a Keras model of RGB pixels 0-255, [N, side, side, 3], to probabilities,
            float32 [N, classes].
        class_names: the names of the classes, in the order of the outputs.
        architecture: the net as data.
        resize: how an image of any shape becomes the square that the net's crop is from.

    Example:
        >>> net = load("runs/mine")
        >>> net.predict([np.zeros((40, 30, 3), np.uint8)], top=1)
        [[('class0', ...)]]
    """

    def __init__(self, model: keras.Model):
        provenance = provenance_of(model)
        if provenance is None or provenance.class_names is None:
            raise ValueError(
                f"the model {model.name!r} does not hold its class names: "
                "python -m alexnet_tf.export --format=keras writes one that does"
            )
        self.model = model
        self.class_names = provenance.class_names
        self.architecture = architecture_json.from_json(provenance.architecture)
        self.resize = provenance.resize
        self._feature_models: dict[str, keras.Model] = {}

    def predict(
        self, images: Sequence[np.ndarray] | np.ndarray, top: int = 5
    ) -> list[list[tuple[str, float]]]:
        """Returns each image's `top` classes, best first, as (class name, probability).

        Args:
            images: RGB images of any sizes, [H, W, 3] each, pixels 0-255. They are
                resized and cropped as in evaluation.
            top: how many classes.
        """
        return [
            [
                (self.class_names[index], float(row[index]))
                for index in best_classes(row, top)
            ]
            for row in self._run(self.model, images)
        ]

    def features(
        self, images: Sequence[np.ndarray] | np.ndarray, layer: str = "fc7"
    ) -> np.ndarray:
        """Returns the activations of a whole layer, of both towers.

        Args:
            images: as in `predict`.
            layer: a name that `layer_outputs` explains: "fc7" is what the next layer
                reads, "fc7/relu" comes right after the ReLU.

        Returns: float32; [N, 4096] for AlexNet's fc7 and [N, 6, 6, 256] for its conv5.

        Raises:
            ValueError: the net has no such layer; the message names its layers.
        """
        if layer not in self._feature_models:
            output = layer_outputs.layer_output(self.model, layer)
            self._feature_models[layer] = keras.Model(
                self.model.input, keras.ops.cast(output, "float32")
            )
        return self._run(self._feature_models[layer], images)

    def _run(self, model: keras.Model, images) -> np.ndarray:
        size, side = self.architecture.record_size, self.architecture.input_size
        views = [
            image_resizing.center_view(image, size, side, self.resize)
            for image in images
        ]
        if not views:
            return np.zeros((0, *model.output_shape[1:]), np.float32)
        parts = [
            model(np.stack(views[start : start + _BATCH]), training=False).numpy()
            for start in range(0, len(views), _BATCH)
        ]
        return np.concatenate(parts)


def best_classes(scores: np.ndarray, top: int) -> np.ndarray:
    """The indices of the `top` highest scores, best first; ties in their order.

    Example:
        >>> best_classes(np.array([0.2, 0.4, 0.4]), 2).tolist()
        [1, 2]
    """
    return np.argsort(-scores, kind="stable")[:top]


def provenance_of(model: keras.Model) -> layers.Provenance | None:
    """Returns the layer that records which net a model is, or None."""
    found = [each for each in model.layers if isinstance(each, layers.Provenance)]
    return found[0] if found else None


def load_keras_file(path: str) -> keras.Model:
    """The model in a `.keras` file.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file is damaged.
    """
    if not os.path.isfile(path):
        raise FileNotFoundError(
            f"there is no file {path}{suggestions.did_you_mean_path(path)}"
        )
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is damaged, or not a .keras file: write it again with "
            "python -m alexnet_tf.export --format=keras"
        )
    return keras.saving.load_model(path, compile=False)


def load(path: str | os.PathLike[str]) -> LoadedNet:
    """Loads a trained net from a run folder, a checkpoint in it, or a `.keras` file.

    Raises:
        FileNotFoundError: there is no such file, or the run folder has no `model.json`.
        CheckpointError: there is no checkpoint.
        ValueError: what is there is not a trained net of this package.

    Example:
        >>> load("runs/mine").class_names
        ('class0', 'class1', 'class2')
    """
    name = os.fspath(path)
    if name.endswith(".keras"):
        return LoadedNet(load_keras_file(name))
    return LoadedNet(trained.restore(name, inputs="pixels").model)
