"""Checkpoint -> SavedModel that a stock server runs.

    python -m alexnet_tf.export --checkpoint=runs/demo --output=runs/demo/export

Writes OUTPUT/VERSION/, under another name first. The graph holds stock operations only:
the LRN is TensorFlow's, and preprocessing is inside.
"""

import contextlib
import os
import pathlib
import re
import shutil
from collections.abc import Iterator, Sequence

import keras
import tensorflow as tf

from alexnet_tf import augment, config, evaluate

LABELS = "labels.txt"


def decode_image(encoded: tf.Tensor) -> tf.Tensor:
    """The bytes of a JPEG, PNG, GIF or BMP, scalar string, to uint8 RGB [H, W, 3].

    The first bytes choose the decoder, so that nothing else reaches one: TensorFlow's
    general decoder ends the process on an animated WebP. The first frame of a GIF; EXIF
    orientation is not read. Anything else is an InvalidArgumentError.
    """

    def begins(magic: bytes) -> tf.Tensor:
        return tf.strings.substr(encoded, 0, len(magic)) == magic

    def jpeg():
        return tf.io.decode_jpeg(encoded, channels=3, dct_method="INTEGER_ACCURATE")

    def png():
        return tf.io.decode_png(encoded, channels=3)

    def gif():
        return tf.io.decode_gif(encoded)[0]

    def bmp():
        return tf.io.decode_bmp(encoded, channels=3)

    def unknown():
        refusal = tf.debugging.Assert(
            False, ["image_bytes: not a JPEG, PNG, GIF or BMP"], summarize=1
        )
        with tf.control_dependencies([refusal]):
            return tf.zeros([1, 1, 3], tf.uint8)

    image = tf.case(
        [
            (begins(b"\xff\xd8\xff"), jpeg),
            (begins(b"\x89PNG\r\n\x1a\n"), png),
            (tf.logical_or(begins(b"GIF87a"), begins(b"GIF89a")), gif),
            (begins(b"BM"), bmp),
        ],
        default=unknown,
        exclusive=True,
    )
    return tf.ensure_shape(image, [None, None, 3])


class Endpoints:
    """The functions of an export, over a model of logits with stock operations."""

    def __init__(
        self, net: keras.Model, classes: Sequence[str], size: int, crop: int, top: int
    ):
        self._net = net
        self._classes = tf.constant(list(classes))
        self._size = size
        self._crop = crop
        self._top = min(top, len(classes))

    def _classify(self, squares: tf.Tensor) -> dict[str, tf.Tensor]:
        crops = augment.center_crop(squares, self._crop)
        logits = self._net(evaluate.plain_inputs(crops), training=False)
        probabilities = tf.nn.softmax(tf.cast(logits, tf.float32))
        scores, indices = tf.math.top_k(probabilities, self._top)
        return {
            "classes": tf.gather(self._classes, indices),
            "scores": scores,
            "probabilities": probabilities,
        }

    def _square(self, image: tf.Tensor) -> tf.Tensor:
        square = augment.resize(image, self._size)
        return tf.ensure_shape(square, [self._size, self._size, 3])

    def images(self, image_bytes: tf.Tensor) -> dict[str, tf.Tensor]:
        """Encoded images, string [N], to `classes`, `scores` [N, top], `probabilities`."""
        squares = tf.map_fn(
            lambda encoded: self._square(decode_image(encoded)),
            image_bytes,
            fn_output_signature=tf.uint8,
        )
        return self._classify(squares)

    def pixels(self, image: tf.Tensor) -> dict[str, tf.Tensor]:
        """RGB pixels 0-255, uint8 [N, H, W, 3] of any size, to the same outputs."""
        squares = tf.map_fn(self._square, image, fn_output_signature=tf.uint8)
        return self._classify(squares)


def save_model(
    net: keras.Model,
    path: pathlib.Path,
    *,
    classes: Sequence[str],
    size: int,
    crop: int,
    top: int,
) -> None:
    """Writes a SavedModel with signatures `serving_default` and `predict_images`.

    `net` takes `evaluate.plain_inputs` and has stock operations only.
    """
    endpoints = Endpoints(net, classes, size, crop, top)
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        "serving_default",
        endpoints.images,
        input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")],
    )
    archive.add_endpoint(
        "predict_images",
        endpoints.pixels,
        input_signature=[tf.TensorSpec([None, None, None, 3], tf.uint8, name="image")],
    )
    archive.write_out(str(path), verbose=False)
    (path / "assets").mkdir(exist_ok=True)
    (path / "assets" / LABELS).write_text("\n".join(classes) + "\n")


def next_version(folder: pathlib.Path) -> int:
    """One more than the highest version in `folder`, as a server counts them."""
    found = [int(c.stem) for c in folder.glob("*") if re.fullmatch(r"\d+", c.stem)]
    return max(found, default=0) + 1


@contextlib.contextmanager
def _whole(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """A name to write under; what stands there becomes `path` when all went well."""
    if path.exists():
        raise FileExistsError(f"{path} exists: remove it, or export another version")
    # A leading dot, so that a server does not see it, and the suffix that Keras wants.
    partial = path.with_name(f".partial-{os.getpid()}-{path.name}")
    path.parent.mkdir(parents=True, exist_ok=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        if partial.is_dir():
            shutil.rmtree(partial)
        else:
            partial.unlink(missing_ok=True)


def main(flags: config.Config, arguments: Sequence[str]) -> None:
    config.refuse_arguments(arguments)
    kept = flags.export_format == "keras"
    restored = evaluate.restore(
        flags.checkpoint,
        precision=flags.dtype,
        stock=not kept,
        with_preprocessing=not kept,
    )
    folder = pathlib.Path(flags.export_dir or restored.run_dir / "export")
    version = flags.version or next_version(folder)
    if kept:
        path = folder / f"{version}.keras"
        with _whole(path) as partial:
            restored.net.save(partial)
    else:
        path = folder / str(version)
        with _whole(path) as partial:
            save_model(
                restored.net,
                partial,
                classes=restored.dataset.classes,
                size=restored.architecture.record_size,
                crop=restored.architecture.input_size,
                top=flags.top,
            )
    print(path)


if __name__ == "__main__":
    config.run("export", main)
