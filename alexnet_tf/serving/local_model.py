"""An exported SavedModel, loaded in this process."""

import json
import os

from alexnet_tf.data import image_decoding
from alexnet_tf.models import background as backgrounds
from alexnet_tf.runtime import errors
from alexnet_tf.serving import client, model_versions


class Model:
    """A version of an exported model. It classifies encoded images.

    They are decoded by preparation's decoder, so EXIF orientation is applied, and every
    kind of image that can be prepared can be classified.

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

        from alexnet_tf.serving import saved_model

        folder = model_versions.find_version(path, "model")
        origin = saved_model.origin_file(folder)
        recorded = json.loads(origin.read_text()) if origin.exists() else {}
        self._background = backgrounds.from_json(
            recorded.get("background"), str(origin)
        )
        self._tf = tf
        self._loaded = tf.saved_model.load(str(folder))
        self._classify = self._loaded.signatures["predict_images"]

    def classify(self, image_bytes: bytes, name: str = "image") -> client.Scored:
        """Returns the best classes of one encoded image.

        Args:
            image_bytes: JPEG, PNG, GIF, BMP or WebP.
            name: the name of the file, for the error message.

        Raises:
            image_decoding.BadImageError: the image cannot be decoded, or it is too
                large.
        """
        tf = self._tf
        pixels = image_decoding.decode(image_bytes, name, self._background)
        try:
            outputs = self._classify(image=tf.constant(pixels[None]))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(errors.first_line(error)) from error
        return client.Scored(
            [name.decode() for name in outputs["classes"][0].numpy()],
            outputs["scores"][0].numpy().tolist(),
        )
