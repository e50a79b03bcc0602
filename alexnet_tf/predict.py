"""Classifies images with an export, or with a server.

    python -m alexnet_tf.predict --model=runs/mine/export image.jpg ...
    python -m alexnet_tf.predict --server=http://localhost:8501 image.jpg ...
    python -m alexnet_tf.predict --model=runs/mine/export photos 'more/**/*.jpg' \\
        --output=predictions.jsonl
    find photos -name '*.jpg' | python -m alexnet_tf.predict --images_from=-

An argument is a file, a folder, whose images at any depth are used, or a quoted pattern.
Prints the best classes of each file, or writes them to --output. For a file that is not
an image it prints one line on standard error and continues with the others, and the exit
status is 1. With --output, work that is interrupted in whatever way is continued by the
same command.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from alexnet_tf.runtime import command, loading, options, tables
from alexnet_tf.runtime.options import option


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """The model, if it runs in this process."""

    model: str | None = option(
        None,
        "an exported model version, or the folder of model versions (the highest is "
        "taken; default: runs/default/export)",
        is_path=True,
    )


@dataclasses.dataclass(frozen=True)
class ImageOptions:
    """More images than the arguments name, and how they are read."""

    images_from: str | None = option(
        None,
        "a file with one path per line, after the arguments; - for standard input",
        is_path=True,
    )
    max_bad_files: int | None = option(
        None,
        "number of files that may be unreadable; one more stops the command (default: "
        "all files are tried, and the exit status is 1 if one is unreadable)",
        check=options.at_least(0),
    )
    batch_size: int | None = option(
        None,
        "images that are classified together (default: 128, or 16 in a request to a "
        "server)",
        check=options.at_least(1),
    )


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """The server, if the model runs there."""

    server: str | None = option(
        None,
        "ask this server: host:port (gRPC), grpcs://host:port, http://host:port or "
        "https://host:port",
    )
    model_name: str = option("alexnet", "the name of the model on the server")
    model_version: str | None = option(
        None,
        "number or label of the model version on the server (default: the one it serves)",
    )
    timeout_s: float = option(
        10.0, "seconds that one attempt may take", check=options.above(0)
    )
    attempts: int = option(
        4,
        "attempts for each request while the server is busy or unreachable",
        check=options.at_least(1),
    )
    in_flight: int | None = option(
        None,
        "number of requests at the server at the same time (default: 2, or 8 with "
        "--bench)",
        check=options.at_least(1),
    )
    ca_file: str | None = option(
        None,
        "certificates to trust, PEM, for grpcs:// and https:// (default: the system's)",
        is_path=True,
    )
    bench: bool = option(
        False,
        "time the server with the images instead, at 1, 2, 4 ... --in_flight at the same "
        "time",
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """What is printed or written of the predictions."""

    top: int = option(
        5, "number of classes for each image, best first", check=options.at_least(1)
    )
    output: str | None = option(
        None,
        "file to write the predictions to instead of printing them: .jsonl, .csv or "
        ".npz; unreadable files have their rows, too",
        is_path=True,
    )
    format: tables.Format = option("table", "how results are printed")


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """All options of `predict`."""

    model: ModelOptions = options.group(ModelOptions, "Model")
    images: ImageOptions = options.group(ImageOptions, "Images")
    server: ServerOptions = options.group(ServerOptions, "Server")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = PredictOptions


def main(chosen: PredictOptions, arguments: Sequence[str]) -> None:
    images_from, output = chosen.images.images_from, chosen.output.output
    if not arguments and images_from is None:
        raise ValueError(
            "no image given: python -m alexnet_tf.predict --model=... image.jpg ..."
        )
    server = chosen.server
    _refuse_two_places(chosen)
    _refuse_with_bench(chosen)
    from alexnet_tf.serving import classification, image_arguments, prediction_output
    from alexnet_tf.serving import client as clients

    path = None if output is None else prediction_output.check_output(output)
    images = image_arguments.find_images(arguments, images_from)
    files = images.files
    model = chosen.model.model or "runs/default/export"
    where = server.server or model
    client: dict[str, Any] = {
        "model": server.model_name,
        "version": server.model_version,
        "timeout_s": server.timeout_s,
        "attempts": server.attempts,
        "in_flight": server.in_flight,
        "ca_file": server.ca_file,
    }
    what = "timing" if server.bench else "classifying"
    counted = "1 image" if len(files) == 1 else f"{len(files):,} images"
    print(f"{what} {counted} with {where}", *images.notes, sep="\n", file=sys.stderr)
    if server.bench:
        assert server.server is not None
        measured = classification.time_server(server.server, files, **client)
        print(classification.timings_text(measured, chosen.output.format))
        return
    top, most = chosen.output.top, chosen.images.max_bad_files
    size = chosen.images.batch_size
    with contextlib.ExitStack() as stack:
        with loading.libraries():  # TensorFlow loads here, if it is needed
            classifier = stack.enter_context(
                classification.server_classifier(
                    server.server, batch_size=size, **client
                )
                if server.server is not None
                else classification.local_classifier(model, batch_size=size)
            )
        if path is None:
            predictions: list[classification.Prediction] = []
            found = classification.classify_files(
                files, classifier, top=top, max_bad_files=most
            )
            try:
                predictions.extend(found)
            except clients.ServerError:  # what the server has answered is not lost
                if any(not each.error for each in predictions):
                    print(
                        classification.predictions_text(
                            predictions, chosen.output.format
                        )
                    )
                raise
            failed = sum(bool(each.error) for each in predictions)
            text = classification.predictions_text(predictions, chosen.output.format)
        else:
            written = classification.write_predictions(
                path, files, classifier, top=top, max_bad_files=most
            )
            failed = written.failed
            text = classification.written_text(written, chosen.output.format)
    print(text)
    if failed and most is None:
        of = f"{failed} of {len(files)} files were" if len(files) > 1 else "it was"
        raise ValueError(f"{of} not classified")


def _refuse_with_bench(chosen: PredictOptions) -> None:
    """Raises ValueError if `--bench` stands with options of another work."""
    if not chosen.server.bench:
        return
    if chosen.server.server is None:
        raise ValueError("--bench times a server: name it by --server=localhost:8500")
    given = {
        "output": chosen.output.output,
        "batch_size": chosen.images.batch_size,
        "max_bad_files": chosen.images.max_bad_files,
    }
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"--bench sends single images and writes no predictions: leave --{name} "
                "out"
            )


def _refuse_two_places(chosen: PredictOptions) -> None:
    """Raises ValueError if options of a model here and of a server are mixed."""
    server = chosen.server
    if server.server is not None and chosen.model.model is not None:
        raise ValueError(
            f"--model={chosen.model.model} and --server={server.server} are two places: "
            "leave one of them out"
        )
    for name in ("model_version", "ca_file"):
        value = getattr(server, name)
        if server.server is None and value is not None:
            raise ValueError(
                f"--{name}={value} is of a server: name it by --server=localhost:8500, "
                f"or leave --{name} out"
            )


if __name__ == "__main__":
    command.run_command(
        *("predict", OPTIONS, main, __doc__), as_argument={"image", "images"}
    )
