"""An exported SavedModel, loaded in this process."""

import hashlib
import itertools
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

import numpy as np
import PIL
import simplejpeg

from alexnet_tf.data import image_decoding, image_files
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import image_limits, image_resizing, resize_rule
from alexnet_tf.runtime import errors, files, read_ahead
from alexnet_tf.serving import client, model_versions


class Model:
    """A version of an exported model. It classifies encoded images.

    They are decoded by preparation's decoder, so EXIF orientation is applied, and every
    kind of image that can be prepared can be classified.

    Args:
        path: the folder of one version, or the folder that holds the versions. Of
            several versions the highest is loaded.
        batch_size: how many files are classified together; 128 are the most that an
            export takes.

    Attributes:
        folder: of the version.
        batch_size: as given.

    Raises:
        FileNotFoundError: there is no SavedModel at `path`.
        ValueError: `batch_size` is not from 1 to 128, or the export does not record
            how it reads images.

    Example::

        model = local_model.Model("runs/demo/export")
        classes, scores = model.classify(open("image.jpg", "rb").read())
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        batch_size: int = image_limits.MAX_REQUEST_IMAGES,
    ):
        if not 1 <= batch_size <= image_limits.MAX_REQUEST_IMAGES:
            raise ValueError(
                f"batch_size must be from 1 to {image_limits.MAX_REQUEST_IMAGES}, the "
                f"most that an export takes, got {batch_size}"
            )
        self.folder = model_versions.find_version(path, "model")
        where = str(model_versions.origin_file(self.folder))
        recorded = model_versions.read_origin(self.folder)
        self._background = backgrounds.from_json(recorded["background"], where)
        self._resize = resize_rule.from_json(recorded["resize"], where)
        self._size = recorded["size"]
        self.batch_size = batch_size
        # The import takes seconds, and a command that asks a server does not need it.
        import tensorflow as tf

        self._tf = tf
        self._loaded = tf.saved_model.load(str(self.folder))
        self._classify = self._loaded.signatures["predict_images"]

    def identity(self) -> dict[str, Any]:
        """What decides the answers, as JSON; the model by its contents, too."""
        digest = hashlib.sha256()
        for path in sorted(each for each in self.folder.rglob("*") if each.is_file()):
            entry = f"{path.relative_to(self.folder)} {files.sha256(path)}\n"
            digest.update(os.fsencode(entry))
        folder = os.path.abspath(self.folder)
        return {
            "model": f"{folder}, digest {digest.hexdigest()[:16]}",
            "batch size": self.batch_size,
            "tensorflow": self._tf.__version__,
            "pillow": PIL.__version__,
            "simplejpeg": simplejpeg.__version__,
        }

    def classify(self, image_bytes: bytes, name: str = "image") -> client.Scored:
        """Returns the best classes of one encoded image.

        Args:
            image_bytes: JPEG, PNG, GIF, BMP or WebP.
            name: the name of the file, for the error message.

        Raises:
            image_decoding.BadImageError: the image cannot be decoded, or it is too
                large.
        """
        return self._answers([self._pixels(image_bytes, name)])[0]

    def classify_files(
        self, paths: Iterable[str]
    ) -> Iterator[tuple[str, client.Scored | Exception]]:
        """Yields each file with its best classes, or with why there are none, in order.

        Threads read and decode a batch while the model computes the one before; see
        `read_ahead`. Which files share a batch depends on their order alone.
        """
        for batch in read_ahead.in_batches(paths, self._read, self.batch_size):
            yield from self._classified(batch)

    def _classified(
        self, batch: Sequence[tuple[str, np.ndarray | Exception]]
    ) -> Iterator[tuple[str, client.Scored | Exception]]:
        """The answers for the files of a batch; a bad one takes no other along."""
        pixels = [read for _, read in batch if not isinstance(read, Exception)]
        answers: Iterator[client.Scored | Exception]
        try:
            answers = iter(self._answers(pixels) if pixels else [])
        except ValueError as error:
            answers = itertools.repeat(error)
        for file, read in batch:
            yield file, read if isinstance(read, Exception) else next(answers)

    def _read(self, file: str) -> np.ndarray:
        return self._pixels(image_files.read(file), file)

    def _pixels(self, image_bytes: bytes, name: str) -> np.ndarray:
        """The image as the model reads it, uint8 [size, size, 3]."""
        pixels = image_decoding.decode(image_bytes, name, self._background)
        return image_resizing.square(pixels, self._size, self._resize)

    def _answers(self, pixels: Sequence[np.ndarray]) -> list[client.Scored]:
        """The best classes of images."""
        tf = self._tf
        try:
            outputs = self._classify(image=tf.constant(np.stack(pixels)))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(errors.first_line(error)) from error
        classes, scores = outputs["classes"].numpy(), outputs["scores"].numpy()
        return [
            client.Scored([name.decode() for name in row], scores[place].tolist())
            for place, row in enumerate(classes)
        ]
