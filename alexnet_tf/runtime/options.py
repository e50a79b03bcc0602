"""Every flag, its validator, and the frozen `Config` that mains hand on.

A field of `Config` is a flag: its type and default are the flag's, and its metadata
tells the help and which mains read it. Only mains read flags.
"""

import dataclasses
import os
import pathlib
import re
import sys
import typing
from collections.abc import Callable, Sequence
from typing import Any, Literal

from absl import app, flags, logging

from alexnet_tf.runtime import files

_PACKAGE = pathlib.Path(__file__).parent


_RECIPE_ROOTS = (pathlib.Path(), _PACKAGE, _PACKAGE.parent)


MAINS = ("prepare", "train", "evaluate", "export", "predict")


def _flag(
    default: Any,
    help: str,
    *readers: str,
    check: Callable | None = None,
    free: bool = False,
    name: str | None = None,
) -> Any:
    """A flag of the mains `readers`.

    `free`: may differ when a run is resumed, because it changes no number; `name`: of
    the flag, where two mains give one name two meanings.
    """
    metadata = {
        "help": help,
        "readers": readers,
        "check": check,
        "free": free,
        "name": name,
    }
    return dataclasses.field(default=default, metadata=metadata)


def _at_least(least: float) -> Callable:
    def check(value):
        numbers = value if isinstance(value, tuple) else (value,)
        return all(number >= least for number in numbers) or f"at least {least:g}"

    return check


def _between(low: float, high: float) -> Callable:
    return lambda value: low <= value < high or f"at least {low:g} and below {high:g}"


_POSITIVE = _at_least(1)


_NOT_NEGATIVE = _at_least(0)


@dataclasses.dataclass(frozen=True)
class Config:
    """The resolved flags of one run."""

    # What is trained on.
    dataset: str = _flag(
        "garments",
        "a prepared folder, or a source by its name: garments (embedded), "
        "imagenet2012, ilsvrc2010, tfds:NAME; a source is prepared under --data_dir on "
        "first use",
        "train",
    )
    data_dir: str = _flag(
        "data",
        "folder for datasets prepared by name",
        "prepare",
        "train",
        free=True,
    )
    source: str = _flag(
        "garments",
        "garments, imagenet2012, ilsvrc2010, tfds:NAME, or folder:/path",
        "prepare",
    )
    manual_dir: str = _flag(
        "",
        "folder of the archives that only you can download; default "
        "DATA_DIR/tfds/downloads/manual",
        "prepare",
        "train",
        free=True,
    )
    checksums: bool = _flag(
        False, "read such archives through and compare their digests first", "prepare"
    )
    output: str = _flag("", "folder to write; default DATA_DIR/SOURCE-SIZE", "prepare")
    size: int = _flag(
        256,
        "side of the prepared pictures in pixels: 256 for AlexNet, 32 for the CIFAR "
        "nets",
        "prepare",
        check=_POSITIVE,
    )
    encoding: Literal["auto", "jpeg", "raw"] = _flag(
        "auto", "jpeg (quality 95) or raw bytes; auto: raw up to 64 pixels", "prepare"
    )
    holdout: float = _flag(
        0.1,
        "part of a folder without train/ and validation/ that becomes validation",
        "prepare",
        check=_between(0, 1),
    )
    max_bad_files: int = _flag(
        0,
        "unreadable pictures to name and leave out before one stops the work",
        "prepare",
        check=_NOT_NEGATIVE,
    )
    workers: int = _flag(
        0,
        "processes that prepare; 0: one a core, fewer for few pictures",
        "prepare",
        check=_NOT_NEGATIVE,
    )
    beam_pipeline_options: str = _flag(
        "",
        "prepare on Apache Beam with these options of its own, as in "
        "runner=DirectRunner,direct_num_workers=4",
        "prepare",
    )
    verify: bool = _flag(
        False,
        "read every record back; what is at --output already is only verified",
        "prepare",
    )

    damaged_records: Literal["stop", "skip"] = _flag(
        "stop",
        "at a record that is damaged on the disk: stop with its file and place, or skip "
        "it, with a warning and a count",
        "train",
        "evaluate",
        free=True,
    )

    # The net.
    architecture: str = _flag(
        "cuda_convnet", "the net; see README for the names", "train"
    )
    init: Literal["paper", "cuda_convnet"] = _flag(
        "cuda_convnet",
        "initial weights: paper, std 0.01; cuda_convnet, each layer its own",
        "train",
    )
    dropout: Literal["original", "inverted"] = _flag(
        "original",
        "original: halve at test time, as in 2012; inverted: double in training",
        "train",
    )
    lrn: Literal["op", "stock"] = _flag(
        "op", "normalisations: our ops, or TensorFlow's", "train"
    )
    winograd: bool = _flag(
        True,
        "training convolutions of a processor in fewer products, by Winograd's minimal "
        "filtering (but in bfloat16 with AMX, where the sum as written is faster); "
        "--nowinograd: as the sum is written (the same but for rounding)",
        "train",
    )
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = _flag(
        "auto",
        "compute type (weights, update, softmax and loss are float32 always); tf32: "
        "float32 whose products NVIDIA GPUs since Ampere round to 10 bits; auto: "
        "bfloat16 where the processor or GPU multiplies in it",
        "train",
        "evaluate",
    )

    # Where it runs.
    strategy: Literal["none", "mirrored", "multi_worker"] = _flag(
        "none",
        "replicas of the whole net: mirrored, one on each device of this machine; "
        "multi_worker, on the workers that TF_CONFIG or Slurm names",
        "train",
        free=True,
    )
    tower_devices: tuple[str, ...] = _flag(
        ("auto",),
        "a device a tower, or one for all; auto: the first GPUs, else the CPU",
        "train",
        "evaluate",
        free=True,
    )
    logical_cpus: int = _flag(
        1,
        "logical devices the processor is split into",
        "train",
        "evaluate",
        check=_POSITIVE,
        free=True,
    )
    logical_gpus: int = _flag(
        1,
        "logical devices the first GPU is split into",
        "train",
        "evaluate",
        check=_POSITIVE,
        free=True,
    )
    logical_gpu_mib: int = _flag(
        4096,
        "memory of each logical GPU in MiB",
        "train",
        "evaluate",
        check=_POSITIVE,
        free=True,
    )

    # The run.
    run_dir: str = _flag(
        "runs/default",
        "folder for checkpoints, logs and the resolved flags",
        "train",
        free=True,
    )
    resume: bool = _flag(
        False,
        "continue the run in --run_dir; starts it where there is none",
        "train",
        free=True,
    )
    seed: int = _flag(
        0, "of weights, order, crops, colour and dropout", "train", check=_NOT_NEGATIVE
    )
    batch_size: int = _flag(
        128, "pictures a step, of all replicas", "train", "evaluate", check=_POSITIVE
    )
    epochs: float = _flag(
        3.4,
        "passes over the training split",
        "train",
        check=_NOT_NEGATIVE,
        free=True,
    )
    max_steps: int = _flag(
        0,
        "steps in all, whatever --epochs says; 0: as it says",
        "train",
        check=_NOT_NEGATIVE,
        free=True,
    )
    validate_epochs: float = _flag(
        1.0,
        "passes between validations (centre crop); 0: only at the end; -1: never",
        "train",
        check=lambda value: value >= 0 or value == -1 or "at least 0, or -1",
    )
    checkpoint_steps: int = _flag(
        1000,
        "steps between checkpoints, besides those at validations and the end",
        "train",
        check=_POSITIVE,
        free=True,
    )
    keep_checkpoints: int = _flag(
        2,
        "newest checkpoints kept, besides the best",
        "train",
        check=_POSITIVE,
        free=True,
    )
    log_steps: int = _flag(
        10,
        "steps between lines in the log",
        "train",
        check=_POSITIVE,
        free=True,
    )
    weights_log_steps: int = _flag(
        100,
        "steps between lines on each layer's weights and updates; 0: never",
        "train",
        check=_NOT_NEGATIVE,
        free=True,
    )
    flat_loss_steps: int = _flag(
        300,
        "steps with the loss of a guess before a warning; 0: never",
        "train",
        check=_NOT_NEGATIVE,
        free=True,
    )
    overfit_one_batch: bool = _flag(
        False,
        "train on the first batch alone until all of it is right, and write nothing: "
        "a check of the whole machine",
        "train",
        free=True,
    )

    # The recipe: that of the 2012 program, shortened to minutes on the embedded pictures.
    update: Literal["paper", "code"] = _flag(
        "code", "update rule: paper, one rate; code, twice the rate for biases", "train"
    )
    learning_rate: float = _flag(0.01, "initial rate", "train", check=_NOT_NEGATIVE)
    rate_scaling: Literal["none", "linear", "sqrt"] = _flag(
        "none",
        "multiplies the rate by --batch_size / --reference_batch_size, or its root",
        "train",
    )
    reference_batch_size: int = _flag(
        128, "batch that --learning_rate was found for", "train", check=_POSITIVE
    )
    momentum: float = _flag(
        0.9, "part of the velocity that a step keeps", "train", check=_between(0, 1)
    )
    weight_decay: float = _flag(
        -1.0,
        "decay of weights, inside the velocity and times the rate; -1: each layer its "
        "own (AlexNet 0.0005)",
        "train",
    )
    schedule: Literal["plateau", "epochs"] = _flag(
        "epochs",
        "plateau: rate / 10 when validation error stops improving; epochs: at "
        "--drop_epochs",
        "train",
    )
    drop_epochs: tuple[float, ...] = _flag(
        (2.9,),
        "epochs at which the rate is divided by ten",
        "train",
        check=_NOT_NEGATIVE,
    )
    bias_drop_epochs: tuple[float, ...] = _flag(
        (),
        "the same for biases, --update=code only; none: as --drop_epochs",
        "train",
        check=_NOT_NEGATIVE,
    )
    conv1_drop_epoch: float = _flag(
        0.0,
        "epoch at which conv1's rate is divided by ten once more; 0: never",
        "train",
        check=_NOT_NEGATIVE,
    )
    conv1_freeze_epoch: float = _flag(
        0.0, "epoch at which conv1 stops; 0: never", "train", check=_NOT_NEGATIVE
    )
    plateau_patience: int = _flag(
        3,
        "validations without gain before a drop, --schedule=plateau",
        "train",
        check=_POSITIVE,
    )
    plateau_gain: float = _flag(
        0.1,
        "least gain in percent of top-1 error, --schedule=plateau",
        "train",
        check=_NOT_NEGATIVE,
    )
    plateau_drops: int = _flag(
        3, "most drops, --schedule=plateau", "train", check=_NOT_NEGATIVE
    )
    color_noise: Literal["paper", "cuda_convnet", "none"] = _flag(
        "cuda_convnet",
        "PCA colour: cuda_convnet, alpha times the standard deviation; paper, times the "
        "eigenvalue",
        "train",
    )
    color_noise_end_epoch: float = _flag(
        2.4, "epoch at which colour noise ends; 0: never", "train", check=_NOT_NEGATIVE
    )
    crop_sharing: int = _flag(
        1,
        "consecutive pictures that share a crop and a mirror; the 2012 program: 32",
        "train",
        check=_POSITIVE,
    )

    # What is made of a run.
    checkpoint: str = _flag(
        "runs/default",
        "a run folder (its newest checkpoint) or one checkpoint",
        "evaluate",
        "export",
    )
    split: str = _flag(
        "", "split to evaluate; default validation, else test", "evaluate"
    )
    evaluate_dataset: str = _flag(
        "", "prepared folder to evaluate on; default: the run's own", "evaluate"
    )
    format: Literal["table", "json", "csv"] = _flag(
        "table", "what is printed", "evaluate", "predict"
    )
    export_dir: str = _flag(
        "",
        "folder of versions to write into; default RUN/export",
        "export",
        name="output",
    )
    version: int = _flag(
        0, "version to export as; 0: the next free one", "export", check=_NOT_NEGATIVE
    )
    dtype: Literal["float32", "bfloat16", "float16", "int8"] = _flag(
        "float32",
        "compute type of the exported graph; float16 and int8 are of TFLite",
        "export",
    )
    export_format: Literal["saved_model", "tflite", "onnx", "keras"] = _flag(
        "saved_model",
        "saved_model, for servers; tflite; onnx; keras, a .keras file for "
        "alexnet_tf.AlexNet",
        "export",
        name="format",
    )
    crops: int = _flag(
        1,
        "views of a picture the exported model averages: 1, the centre; 10, the paper's",
        "export",
        check=lambda value: value in (1, 10) or "1 or 10",
    )
    check: str = _flag(
        "",
        "an exported version, or the folder of versions, to examine instead: would a "
        "stock server run it, and does it answer as its checkpoint does",
        "export",
    )
    top: int = _flag(
        5, "classes that are returned, best first", "export", "predict", check=_POSITIVE
    )
    model: str = _flag(
        "runs/default/export",
        "an exported version, or the folder of versions (the highest is taken)",
        "predict",
    )

    # A server in the model's place.
    server: str = _flag(
        "",
        "ask a server instead: host:port (gRPC), grpcs://host:port, http://host:port "
        "or https://host:port",
        "predict",
    )
    model_name: str = _flag("alexnet", "the model's name on --server", "predict")
    model_version: str = _flag(
        "", "version or label on --server; default: what it serves", "predict"
    )
    timeout_s: float = _flag(
        10.0,
        "seconds for one attempt at --server",
        "predict",
        check=lambda value: value > 0 or "above 0",
    )
    attempts: int = _flag(
        4,
        "attempts at a picture while --server is busy or away",
        "predict",
        check=_POSITIVE,
    )
    in_flight: int = _flag(
        8, "pictures at a time at --server", "predict", check=_POSITIVE
    )
    ca_file: str = _flag(
        "",
        "certificates to trust, PEM, for grpcs:// and https://; default: the system's",
        "predict",
    )
    bench: bool = _flag(
        False,
        "time --server with the pictures, at 1, 2, 4 ... --in_flight at a time",
        "predict",
    )
    bench_requests: int = _flag(
        200, "requests at each step of --bench", "predict", check=_POSITIVE
    )


def fields_of(main: str) -> list[dataclasses.Field]:
    """The fields that `main` reads."""
    return [f for f in dataclasses.fields(Config) if main in f.metadata["readers"]]


def flag_name(field: dataclasses.Field) -> str:
    return field.metadata["name"] or field.name


def define(main: str, values: flags.FlagValues = flags.FLAGS) -> None:
    """Defines the flags of one main."""
    for field in fields_of(main):
        _define(field, values)


def _define(field: dataclasses.Field, values: flags.FlagValues) -> None:
    name, help = flag_name(field), field.metadata["help"]
    default: Any = field.default
    kind: Any = field.type
    origin = typing.get_origin(kind)
    if origin is Literal:
        flags.DEFINE_enum(
            name, default, typing.get_args(kind), help, flag_values=values
        )
    elif origin is tuple:
        flags.DEFINE_list(name, list(map(str, default)), help, flag_values=values)
    else:
        define: Any = {
            str: flags.DEFINE_string,
            int: flags.DEFINE_integer,
            float: flags.DEFINE_float,
            bool: flags.DEFINE_boolean,
        }[kind]
        define(name, default, help, flag_values=values)
    check = field.metadata["check"]
    if check:
        flags.register_validator(name, _validator(field, check), flag_values=values)


def _validator(field: dataclasses.Field, check: Callable) -> Callable:
    def validate(value) -> bool:
        try:
            verdict = check(_typed(field, value))
        except ValueError:
            verdict = "numbers, separated by commas"
        if verdict is not True:
            raise flags.ValidationError(f"must be {verdict}, got {value}")
        return True

    return validate


def _typed(field: dataclasses.Field, value: Any) -> Any:
    kind: Any = field.type
    if typing.get_origin(kind) is tuple:
        element = typing.get_args(kind)[0]
        return tuple(element(part) for part in value)
    return value


def collect(main: str, values: flags.FlagValues = flags.FLAGS) -> Config:
    """The parsed flags of `main` as a Config; what it does not read has its default."""
    return Config(
        **{f.name: _typed(f, values[flag_name(f)].value) for f in fields_of(main)}
    )


def defining(config: Config) -> dict[str, Any]:
    """The flags that make a training run the run it is."""
    return {
        field.name: getattr(config, field.name)
        for field in fields_of("train")
        if not field.metadata["free"]
    }


def write(path: str | os.PathLike[str], main: str, config: Config) -> None:
    """Writes the resolved flags of `main` as a flag file."""
    lines = []
    for field in fields_of(main):
        value = getattr(config, field.name)
        if isinstance(value, tuple):
            value = ",".join(map(str, value))
        lines.append(f"--{flag_name(field)}={value}")
    files.write_text(path, "\n".join(lines) + "\n")


def read(path: str | os.PathLike[str], main: str) -> Config:
    """The Config of a flag file that `write` made."""
    values = flags.FlagValues()
    define(main, values)
    values(["", *pathlib.Path(path).read_text().splitlines()])
    return collect(main, values)


def refuse_arguments(arguments: Sequence[str]) -> None:
    """Raises where a main that takes only flags is given something else."""
    if arguments:
        raise ValueError(f"unexpected argument {arguments[0]!r}: flags begin with --")


def with_recipes(arguments: Sequence[str]) -> list[str]:
    """A command line in which --flagfile=tools/NAME.flags works from any folder.

    What is no file where Python was started is looked for in the package, where a wheel
    has the recipes, and beside it, where a checkout has them. Recipes name each other
    in the same way; an unknown file is left for absl to refuse.
    """
    expanded = []
    for argument in arguments:
        flag, _, path = argument.partition("=")
        found = [f / path for f in _RECIPE_ROOTS if path and (f / path).is_file()]
        if flag in ("--flagfile", "-flagfile") and found:
            lines = map(str.strip, found[0].read_text().splitlines())
            expanded += with_recipes([line for line in lines if line[:1] == "-"])
        else:
            expanded.append(argument)
    return expanded


def _foreseen(error: Exception) -> bool:
    """Whether an error tells a user what is wrong, rather than us."""
    # TensorFlow's own errors by name, since flags are no reason to import it.
    names = {kind.__name__ for kind in type(error).__mro__}
    return bool(names & {"ValueError", "OSError", "RuntimeError", "OpError"})


def _one_line(error: Exception) -> str:
    """What an error says, without what TensorFlow puts around that of a callback."""
    text = str(error).partition("\nTraceback (most recent call last)")[0]
    text = re.sub(r"^\{\{.*?\}\} (\w+Error: )?", "", text)
    return " ".join(text.split())


def run(main: str, function: Callable[[Config, Sequence[str]], None]) -> None:
    """Runs a main: parses its flags, and ends a user's error in one line and status 1.

    `function` gets the Config and the arguments that are no flags. With --v=1 an error
    keeps its traceback.
    """
    define(main)
    for field in fields_of(main):  # so that --help shows them
        flag = flags.FLAGS[flag_name(field)]
        flags.FLAGS.register_key_flag_for_module(sys.argv[0], flag)
    flags.FLAGS.set_default("verbosity", logging.WARNING)  # libraries' chatter

    def body(argv: Sequence[str]) -> None:
        try:
            function(collect(main), argv[1:])
        except Exception as error:
            if logging.level_debug() or not _foreseen(error):
                raise
            text = _one_line(error)
            print(f"alexnet_tf.{main}: {text}", file=sys.stderr)
            sys.exit(1)
        except KeyboardInterrupt:
            print(f"alexnet_tf.{main}: interrupted", file=sys.stderr)
            sys.exit(130)

    app.run(body, [sys.argv[0], *with_recipes(sys.argv[1:])])
