"""Classifies images with an export, or with a server.

    python -m alexnet_tf.predict --model=runs/mine/export image.jpg ...
    python -m alexnet_tf.predict --server=http://localhost:8501 image.jpg ...

Prints the best classes of each file. For a file that is not an image it prints one line
on standard error and continues with the others, and the exit status is 1.
"""

import contextlib
import dataclasses
import sys
from collections.abc import Sequence
from typing import Any

from alexnet_tf.runtime import command, log_noise, options, tables
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
        "attempts for each image while the server is busy or unreachable",
        check=options.at_least(1),
    )
    in_flight: int = option(
        8, "number of images at the server at the same time", check=options.at_least(1)
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
    """The format of the printed predictions."""

    top: int = option(
        5, "number of classes for each image, best first", check=options.at_least(1)
    )
    format: tables.Format = option("table", "how results are printed")


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """All options of `predict`."""

    model: ModelOptions = options.group(ModelOptions, "Model")
    server: ServerOptions = options.group(ServerOptions, "Server")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = PredictOptions


def main(chosen: PredictOptions, arguments: Sequence[str]) -> None:
    if not arguments:
        raise ValueError(
            "no image given: python -m alexnet_tf.predict --model=... image.jpg ..."
        )
    from alexnet_tf.serving import classification

    server = chosen.server
    _refuse_two_places(chosen)
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
    if server.bench:
        if server.server is None:
            raise ValueError(
                "--bench times a server: name it by --server=localhost:8500"
            )
        print(f"timing {where} with {len(arguments)} images", file=sys.stderr)
        measured = classification.time_server(server.server, arguments, **client)
        print(classification.timings_text(measured, chosen.output.format))
        return
    print(f"classifying {len(arguments)} files with {where}", file=sys.stderr)
    with contextlib.ExitStack() as stack:
        with log_noise.held_back():  # TensorFlow loads here, if it is needed
            classifier = stack.enter_context(
                classification.server_classifier(server.server, **client)
                if server.server is not None
                else classification.local_classifier(model)
            )
        predictions, failed = classification.classify_files(
            arguments, classifier, top=chosen.output.top
        )
    print(classification.predictions_text(predictions, chosen.output.format))
    if failed:
        raise ValueError(f"{failed} of {len(arguments)} files were not classified")


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
    command.run_command("predict", OPTIONS, main, __doc__)
