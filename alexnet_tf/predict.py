"""Images in, classes out.

    python -m alexnet_tf.predict --model=runs/demo/export picture.jpg ...

Prints the best classes of each file, as a table, JSON or CSV. A file that is no image is
one line on standard error, the others go on, and the exit status is 1.
"""

import csv
import io
import json
import pathlib
import sys
from collections.abc import Sequence
from typing import Any, NamedTuple

import tensorflow as tf

from alexnet_tf import config


class Prediction(NamedTuple):
    """The best classes of one file, best first."""

    file: str
    classes: list[str]
    scores: list[float]


class Model:
    """An exported version: encoded images to classes."""

    def __init__(self, path: str):
        """`path`: a version, or the folder of versions, whose highest is taken."""
        folder = pathlib.Path(path)
        if not (folder / "saved_model.pb").exists():
            versions = [c for c in folder.glob("*") if c.name.isdigit() and c.is_dir()]
            if not versions:
                raise FileNotFoundError(
                    f"--model={path}: no SavedModel there, and no version of one: "
                    "python -m alexnet_tf.export makes one of a checkpoint"
                )
            folder = max(versions, key=lambda c: int(c.name))
        self._loaded = tf.saved_model.load(str(folder))
        self._classify = self._loaded.signatures["serving_default"]

    def classify(self, image_bytes: bytes) -> tuple[list[str], list[float]]:
        """(classes, scores) of one encoded image; ValueError where it is none."""
        try:
            outputs = self._classify(image_bytes=tf.constant([image_bytes]))
        except tf.errors.InvalidArgumentError as error:
            raise ValueError(_reason(error)) from error
        return (
            [name.decode() for name in outputs["classes"][0].numpy()],
            outputs["scores"][0].numpy().tolist(),
        )


def _reason(error: tf.errors.OpError) -> str:
    """The cause that an error names, less where in the graph it came up."""
    noise = ("Graph execution error", "Detected at node", "<stack", "[[{{node")
    for line in map(str.strip, error.message.splitlines()):
        if line and not line.startswith(noise):
            return line.removeprefix("assertion failed: ").strip("[]")
    return error.message


def text(predictions: Sequence[Prediction], form: str) -> str:
    """The predictions as a table, JSON or CSV."""
    if form == "json":
        described: list[dict[str, Any]] = [p._asdict() for p in predictions]
        return json.dumps(described, indent=1)
    if form == "csv":
        sheet = io.StringIO()
        writer = csv.writer(sheet, lineterminator="\n")
        writer.writerow(["file", "rank", "class", "score"])
        for p in predictions:
            for rank, (name, score) in enumerate(
                zip(p.classes, p.scores, strict=True), 1
            ):
                writer.writerow([p.file, rank, name, f"{score:.6f}"])
        return sheet.getvalue().rstrip("\n")
    lines = []
    for p in predictions:
        lines.append(p.file)
        lines += [
            f"  {100 * score:6.2f} %  {name}"
            for name, score in zip(p.classes, p.scores, strict=True)
        ]
    return "\n".join(lines)


def main(flags: config.Config, arguments: Sequence[str]) -> None:
    if not arguments:
        raise ValueError(
            "no picture: python -m alexnet_tf.predict --model=... picture.jpg ..."
        )
    loaded = Model(flags.model)
    predictions = []
    failed = 0
    for file in arguments:
        try:
            classes, scores = loaded.classify(pathlib.Path(file).read_bytes())
        except (OSError, ValueError) as error:
            print(f"{file}: {error}", file=sys.stderr)
            failed += 1
            continue
        predictions.append(Prediction(file, classes[: flags.top], scores[: flags.top]))
    print(text(predictions, flags.format))
    if failed:
        raise ValueError(f"{failed} of {len(arguments)} files were not classified")


if __name__ == "__main__":
    config.run("predict", main)
