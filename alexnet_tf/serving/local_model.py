"""An exported SavedModel, loaded in this process."""

import collections
import concurrent.futures
import itertools
import json
import os
from collections.abc import Iterable, Iterator, Sequence

import numpy as np

from alexnet_tf.data import image_decoding, image_files
from alexnet_tf.models import background as backgrounds
from alexnet_tf.models import image_limits, image_resizing, resize_rule
from alexnet_tf.runtime import cores, errors
from alexnet_tf.serving import client, model_versions

# As many as an export takes at once.
_BATCH = image_limits.MAX_REQUEST_IMAGES

_Waiting = tuple[str, concurrent.futures.Future[np.ndarray]]


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
        self._resize = resize_rule.from_json(recorded.get("resize"), str(origin))
        # Exports of earlier versions do not record it; their graphs resize each image.
        self._size = recorded.get("size")
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
        return self._answers([self._pixels(image_bytes, name)])[0]

    def classify_files(
        self, files: Iterable[str]
    ) -> Iterator[tuple[str, client.Scored | Exception]]:
        """Yields each file with its best classes, or with why there are none, in order.

        Images are read and decoded by as many threads as there are cores, while the
        model computes the batch before. At most two batches are held.
        """
        most = _BATCH if self._size else 1
        waiting: collections.deque[_Waiting] = collections.deque()
        with concurrent.futures.ThreadPoolExecutor(cores.usable_cores()) as threads:
            try:
                for file in files:
                    waiting.append((file, threads.submit(self._read, file)))
                    if len(waiting) == 2 * most:
                        yield from self._classified(
                            [waiting.popleft() for _ in range(most)]
                        )
                while waiting:
                    count = min(most, len(waiting))
                    yield from self._classified(
                        [waiting.popleft() for _ in range(count)]
                    )
            finally:
                threads.shutdown(cancel_futures=True)

    def _classified(
        self, batch: Sequence[_Waiting]
    ) -> Iterator[tuple[str, client.Scored | Exception]]:
        """The answers for the files of a batch; a bad one takes no other along."""
        errors_by_place: dict[int, Exception] = {}
        pixels = []
        for place, (_, future) in enumerate(batch):
            try:
                pixels.append(future.result())
            except Exception as error:  # the caller decides what to do with it
                errors_by_place[place] = error
        answers: Iterator[client.Scored | Exception]
        try:
            answers = iter(self._answers(pixels) if pixels else [])
        except ValueError as error:
            answers = itertools.repeat(error)
        for place, (file, _) in enumerate(batch):
            yield file, errors_by_place.get(place) or next(answers)

    def _read(self, file: str) -> np.ndarray:
        return self._pixels(image_files.read(file), file)

    def _pixels(self, image_bytes: bytes, name: str) -> np.ndarray:
        """The image as the model reads it, uint8 [H, W, 3]: a square if its size is known."""
        pixels = image_decoding.decode(image_bytes, name, self._background)
        if self._size is None:
            return pixels
        return image_resizing.square(pixels, self._size, self._resize)

    def _answers(self, pixels: Sequence[np.ndarray]) -> list[client.Scored]:
        """The best classes of images of the same shape."""
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
