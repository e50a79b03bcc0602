"""Classifies images with an export, or with a server.

    python -m alexnet_tf.predict --model=runs/mine/export image.jpg ...
    python -m alexnet_tf.predict --server=http://localhost:8501 image.jpg ...

Prints the best classes of each file. A file that is not an image is one line on standard
error; the others continue, and the exit status is 1.
"""

import contextlib
import dataclasses
import pathlib
import sys
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from alexnet_tf.runtime import command, log_noise, options, tables
from alexnet_tf.runtime.options import option

PROGRESS_FROM = 10  # files from which a progress bar is shown
BENCH_REQUESTS = 200  # at each number of requests in flight


@dataclasses.dataclass(frozen=True)
class ModelOptions:
    """A model in this process."""

    model: str = option(
        "runs/default/export",
        "an exported model version, or the folder of model versions (the highest is "
        "taken)",
        is_path=True,
    )


@dataclasses.dataclass(frozen=True)
class ServerOptions:
    """A server instead."""

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
    """What is printed."""

    top: int = option(
        5, "number of classes for each image, best first", check=options.at_least(1)
    )
    format: tables.Format = option("table", "how results are printed")


@dataclasses.dataclass(frozen=True)
class PredictOptions:
    """Everything that `predict` can be told."""

    model: ModelOptions = options.group(ModelOptions, "Model")
    server: ServerOptions = options.group(ServerOptions, "Server")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = PredictOptions


class Prediction(NamedTuple):
    """The best classes of one file, best first."""

    file: str
    classes: list[str]
    scores: list[float]


def text(predictions: Sequence[Prediction], format: tables.Format) -> str:
    """The predictions as a table, JSON or CSV."""
    lines, rows = [], []
    for file, classes, scores in predictions:
        lines.append(file)
        for rank, (name, score) in enumerate(zip(classes, scores, strict=True), 1):
            lines.append(f"  {100 * score:6.2f} %  {name}")
            rows.append([file, rank, name, f"{score:.6f}"])
    return tables.render(
        format,
        data=[prediction._asdict() for prediction in predictions],
        columns=["file", "rank", "class", "score"],
        rows=rows,
        table="\n".join(lines),
    )


def bench_text(measured: Sequence[Any], format: tables.Format) -> str:
    """The measurements of a server as a table, JSON or CSV."""
    lines = [f"{'in flight':>9}{'per second':>12}{'p50':>10}{'p95':>10}{'p99':>10}"]
    for m in measured:
        times = "".join(f"{1000 * t:7.1f} ms" for t in (m.p50_s, m.p95_s, m.p99_s))
        lines.append(f"{m.in_flight:9}{m.per_s:12.1f}{times}")
    return tables.render(
        format,
        data=[m._asdict() for m in measured],
        columns=measured[0]._fields,
        rows=measured,
        table="\n".join(lines),
    )


def main(chosen: PredictOptions, arguments: Sequence[str]) -> None:
    if not arguments:
        raise ValueError(
            "no image given: python -m alexnet_tf.predict --model=... image.jpg ..."
        )
    if chosen.server.bench:
        print(bench_text(_bench(chosen.server, arguments), chosen.output.format))
        return
    predictions, failed = _classify(chosen, arguments)
    print(text(predictions, chosen.output.format))
    if failed:
        raise ValueError(f"{failed} of {len(arguments)} files were not classified")


def _read(file: str) -> bytes:
    return pathlib.Path(file).read_bytes()


def _client_options(server: ServerOptions) -> dict[str, Any]:
    return {
        "model": server.model_name,
        "version": server.model_version or "",
        "timeout_s": server.timeout_s,
        "attempts": server.attempts,
        "ca_file": server.ca_file or "",
    }


def _bench(server: ServerOptions, files: Sequence[str]) -> list[Any]:
    """Measures the server at rising numbers of requests in flight."""
    from alexnet_tf.runtime import progress
    from alexnet_tf.serving import client as clients

    if server.server is None:
        raise ValueError("--bench times a server: name it by --server=localhost:8500")
    images = [_read(file) for file in files]
    steps = [2**n for n in range(server.in_flight.bit_length())]
    steps = sorted({*steps, server.in_flight})
    print(f"timing {server.server} with {len(images)} images", file=sys.stderr)
    measured = []
    with progress.bar(len(steps) * BENCH_REQUESTS, "measuring", "request") as bar:
        for in_flight in steps:
            with log_noise.held_back():  # gRPC imports TensorFlow
                measured.append(
                    clients.measure_server(
                        server.server,
                        images,
                        in_flight=in_flight,
                        requests=BENCH_REQUESTS,
                        **_client_options(server),
                    )
                )
            bar.update(BENCH_REQUESTS)
    return measured


@contextlib.contextmanager
def _classifier(chosen: PredictOptions, files: Sequence[str]) -> Iterator[Any]:
    """The answers of a server or of a model in this process, file by file."""
    from alexnet_tf.serving import client as clients

    with contextlib.ExitStack() as stack:
        with log_noise.held_back():
            if chosen.server.server is not None:
                client = clients.Client(
                    chosen.server.server,
                    in_flight=chosen.server.in_flight,
                    **_client_options(chosen.server),
                )
                stack.enter_context(client)
            else:
                from alexnet_tf.serving import local_model

                model = local_model.Model(chosen.model.model)
        if chosen.server.server is not None:
            yield client.map(lambda file: client.classify(_read(file)), files)
        else:
            yield clients.map_serially(lambda file: model.classify(_read(file)), files)


def _classify(
    chosen: PredictOptions, files: Sequence[str]
) -> tuple[list[Prediction], int]:
    """The predictions, and how many files were not classified."""
    from alexnet_tf.runtime import progress
    from alexnet_tf.serving import client as clients

    where = chosen.server.server or chosen.model.model
    print(f"classifying {len(files)} files with {where}", file=sys.stderr)
    predictions, failed = [], 0
    bar: Any = contextlib.nullcontext()
    if len(files) >= PROGRESS_FROM:
        bar = progress.bar(len(files), "classifying", "image")
    with _classifier(chosen, files) as answers, bar as shown:
        for file, answer in answers:
            if shown is not None:
                shown.update()
            if isinstance(answer, OSError | ValueError | clients.ServerError):
                progress.say(f"{file}: {answer}")
                failed += 1
            elif isinstance(answer, Exception):
                raise answer
            else:
                classes, scores = answer
                best = slice(chosen.output.top)
                predictions.append(Prediction(file, classes[best], scores[best]))
    return predictions, failed


if __name__ == "__main__":
    command.run_command("predict", OPTIONS, main, __doc__)
