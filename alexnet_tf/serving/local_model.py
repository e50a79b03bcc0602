"""An exported SavedModel, loaded in this process."""

import os

from alexnet_tf.runtime import errors
from alexnet_tf.serving import client, model_versions


class Model:
    """A version of an exported model. It classifies encoded images, as a server does.

    Args:
        path: the folder of one version, or the folder that holds the versions. Of
            several versions the highest is loaded.

    Raises:
        FileNotFoundError: there is no SavedModel at `path`.

    Example::

        model = local_model.Model("runs/demo/export")
        classes, scores = model.classify(open("image.jpg", "rb").read())
    """

    def __init__(self, path: str | os.PathLike[str]):
        # The import takes seconds, and a command that asks a server does not need it.
        import tensorflow as tf

        folder = model_versions.find_version(path, "model")
        self._tf = tf
        self._loaded = tf.saved_model.load(str(folder))
        self._classify = self._loaded.signatures["serving_default"]

    def classify(self, image_bytes: bytes) -> client.Scored:
        """Returns the best classes of one encoded image (JPEG, PNG, GIF or BMP).

        Raises:
            ValueError: the image cannot be decoded, or it is too large.
        """
        tf = self._tf
        try:
            outputs = self._classify(image_bytes=tf.constant([image_bytes]))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(errors.first_line(error)) from error
        return client.Scored(
            [name.decode() for name in outputs["classes"][0].numpy()],
            outputs["scores"][0].numpy().tolist(),
        )
