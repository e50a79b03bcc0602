"""Compares the gradients that training computes with numerical ones, layer by layer.

    python -m alexnet_tf.check_gradients --architecture=paper
    python -m alexnet_tf.check_gradients --checkpoint=runs/mine --lrn=stock

The table has one row for each layer. If a gradient is wrong, the command names its layer
and ends with status 1. Everything is computed in float32.
"""

import dataclasses
import functools
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Literal

from alexnet_tf.models import checkpoint_files, run_description, zoo
from alexnet_tf.runtime import command, loading, options, progress, tables
from alexnet_tf.runtime.options import option
from alexnet_tf.training import train_options

if TYPE_CHECKING:
    import keras

    from alexnet_tf.training import gradient_check


@dataclasses.dataclass(frozen=True)
class NetOptions:
    """The net, and how it is computed."""

    architecture: str | None = option(
        None,
        f"the net, with random weights, fewer kernels and smaller images: "
        f"{', '.join(zoo.ARCHITECTURES)} (default: {zoo.DEFAULT_TO_TRAIN})",
        check=options.Named(tuple(zoo.ARCHITECTURES)),
    )
    checkpoint: str | None = option(
        None,
        "instead of --architecture: a run folder, RUN/best or one checkpoint, with its "
        "weights and at its full size. This takes minutes",
        is_path=True,
    )
    lrn: Literal["auto", "op", "stock"] = option(
        "auto",
        "normalization layers: op, this package's ops; stock, TensorFlow's own "
        "operations; auto, the ops if they can compute on the device, and otherwise "
        "TensorFlow's operations, which is said once",
    )
    winograd: bool = option(
        True, "compute as train does on a CPU, where it uses Winograd convolutions"
    )
    seed: int = option(
        0,
        "seed of weights, inputs, dropout and the directions that are compared",
        check=options.at_least(0),
    )


@dataclasses.dataclass(frozen=True)
class OutputOptions:
    """The format of the printed results."""

    format: tables.Format = option("table", "what is printed")


@dataclasses.dataclass(frozen=True)
class CheckGradientsOptions:
    """All options of `check_gradients`."""

    net: NetOptions = options.group(NetOptions, "Net")
    output: OutputOptions = options.group(OutputOptions, "Output")


OPTIONS = CheckGradientsOptions


def text(
    found: Sequence["gradient_check.LayerCheck"], what: str, format: tables.Format
) -> str:
    """Returns what was found about each layer as a table, JSON or CSV."""
    rows = [
        (
            layer.layer,
            layer.worst.variable,
            sum(check.values for check in layer.checks),
            sum(check.directions for check in layer.checks),
            layer.worst.difference,
            layer.worst.allowed,
            _verdict(layer),
        )
        for layer in found
    ]
    columns = ["layer", "worst", "values", "directions", "difference", "allowed"]
    columns.append("verdict")
    width = max(len(layer.layer) for layer in found) + 2
    lines = [what, f"{'layer':{width}}{'values':>10}{'difference':>12}{'allowed':>10}"]
    for name, worst, values, _, difference, allowed, verdict in rows:
        lines.append(
            f"{name:{width}}{values:10,}{difference:12.1e}{allowed:10.1e}  {verdict}"
            + ("" if verdict == "correct" else f" ({worst})")
        )
    return tables.render(
        format,
        data=[_data(layer) for layer in found],
        columns=columns,
        rows=rows,
        table="\n".join(lines),
    )


def _verdict(layer: "gradient_check.LayerCheck") -> str:
    if layer.correct:
        return "correct"
    return "WRONG" if layer.worst.directions else "not checked"


def _data(layer: "gradient_check.LayerCheck") -> dict[str, Any]:
    """What JSON holds of one layer; NaN, which JSON lacks, becomes null."""
    checks = [
        {
            key: None if value != value else value
            for key, value in dataclasses.asdict(check).items()
        }
        for check in layer.checks
    ]
    return {"layer": layer.layer, "verdict": _verdict(layer), "checks": checks}


def _refuse_unread(chosen: NetOptions) -> None:
    """Raises ValueError for options that exclude each other or change nothing."""
    if chosen.checkpoint is None:
        train_options.refuse_unread_options(
            options.replace(
                train_options.TrainOptions(),
                architecture=chosen.architecture,
                lrn=chosen.lrn,
            )
        )
    elif chosen.architecture is not None:
        raise ValueError(
            f"--checkpoint={chosen.checkpoint} names its own net: leave "
            f"--architecture={chosen.architecture} out"
        )


def _model(chosen: NetOptions) -> tuple["keras.Model", str]:
    """Returns the net, and what it is in one line."""
    from alexnet_tf.models import builder, checkpoint_weights, trained
    from alexnet_tf.training import gradient_check

    build = functools.partial(
        builder.build, lrn=chosen.lrn, winograd=chosen.winograd, seed=chosen.seed
    )
    if chosen.checkpoint is None:
        net = zoo.find(chosen.architecture or zoo.DEFAULT_TO_TRAIN)
        small = gradient_check.narrowed(net)
        what = f"{net.name}, images of {small.input_size} pixels, random weights"
        return build(small), what
    run_dir, prefix = checkpoint_files.locate_checkpoint(chosen.checkpoint)
    described = trained.read_trained_net(run_dir)
    with checkpoint_weights.readable(prefix):
        trained.check_identity(prefix, described)
    model = build(described.architecture, dropout=described.dropout)
    checkpoint_weights.load_weights(prefix, model)
    return model, f"{described.architecture.name}, weights of {prefix}"


def main(chosen: CheckGradientsOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments)
    _refuse_unread(chosen.net)
    if chosen.net.checkpoint is not None:  # before TensorFlow, which is slow
        run_description.describe(chosen.net.checkpoint)
        checkpoint_files.locate_checkpoint(chosen.net.checkpoint)
    with loading.libraries():
        from alexnet_tf.training import gradient_check

        model, what = _model(chosen.net)
    chains = gradient_check.chains_of(model)
    found = []
    with progress.bar(len(chains), "checking", "layer") as bar:
        for chain in chains:
            found.append(gradient_check.check(chain, chosen.net.seed))
            bar.update(1)
    print(text(found, what, chosen.output.format))
    faulty = [layer for layer in found if not layer.correct]
    if faulty:
        raise RuntimeError(_complaint(faulty))


def _complaint(faulty: Sequence["gradient_check.LayerCheck"]) -> str:
    """The line that names the layers whose gradients are wrong or were not checked."""
    parts = []
    for layer in faulty:
        worst = layer.worst
        if worst.directions:
            parts.append(
                f"the gradient of {layer.layer} by its {worst.variable} is wrong: it "
                f"differs from the numerical one by {worst.difference:.2g}, where "
                f"rounding explains {worst.allowed:.1g}"
            )
        else:
            parts.append(
                f"the gradient of {layer.layer} by its {worst.variable} could not be "
                "checked: its outputs are NaN or infinite, or steps in float32 do not "
                "change them evenly"
            )
    return "; ".join(parts)


if __name__ == "__main__":
    command.run_command("check_gradients", OPTIONS, main, __doc__)
