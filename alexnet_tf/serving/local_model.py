"""An exported SavedModel, loaded in this process."""

from alexnet_tf.serving import client as clients
from alexnet_tf.serving import model_versions


class Model:
    """An exported version: encoded images to classes."""

    def __init__(self, path: str):
        """`path`: a version, or the folder of versions, whose highest is taken."""
        import tensorflow as tf  # seconds, and a server needs none of it

        folder = model_versions.find(path, "model")
        self._tf = tf
        self._loaded = tf.saved_model.load(str(folder))
        self._classify = self._loaded.signatures["serving_default"]

    def classify(self, image_bytes: bytes) -> clients.Scored:
        """(classes, scores) of one encoded image; ValueError where it is none."""
        tf = self._tf
        try:
            outputs = self._classify(image_bytes=tf.constant([image_bytes]))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(clients.reason(error.message)) from error
        return clients.Scored(
            [name.decode() for name in outputs["classes"][0].numpy()],
            outputs["scores"][0].numpy().tolist(),
        )
