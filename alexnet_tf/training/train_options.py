"""The options of `python -m alexnet_tf.train`, and their record. No TensorFlow."""

import contextlib
import dataclasses
import json
import math
import os
import pathlib
from collections.abc import Mapping, Sequence, Set
from typing import Any, Literal

from absl import flags

from alexnet_tf.models import ablations, zoo
from alexnet_tf.models import architecture as architectures
from alexnet_tf.runtime import options, shared_options
from alexnet_tf.runtime.options import option
from alexnet_tf.training import schedule_changes


def factors_of(text: Sequence[str]) -> dict[str, float]:
    """Returns the factors in the text of --learning_rate_factors, by name.

    Raises ValueError, with what is wrong, if one cannot be read.

    Example:
        >>> factors_of(["fc8:10", "conv:0.1"])
        {'fc8': 10.0, 'conv': 0.1}
    """
    found: dict[str, float] = {}
    for part in text:
        name, _, number = part.partition(":")
        try:
            factor = float(number)
        except ValueError:
            factor = math.nan
        if not name or not 0 < factor < math.inf:
            raise ValueError(
                "LAYER:FACTOR, separated by commas, with factors above 0 (--freeze names "
                "layers that do not learn)"
            )
        if name in found:
            raise ValueError(f"one factor for each name ({name} has two)")
        found[name] = factor
    return found


def _are_factors(text: tuple[str, ...]) -> bool | str:
    try:
        factors_of(text)
    except ValueError as error:
        return str(error)
    return True


@dataclasses.dataclass(frozen=True)
class DatasetOptions:
    """The dataset that the net is trained on."""

    dataset: str = option(
        "garments",
        "a prepared folder, or a source by its name: garments (embedded), folder:PATH "
        "(your images, one folder per class), imagenet2012, ilsvrc2010, tfds:NAME. A "
        "source is prepared in --data_dir on first use. When a run is resumed, the same "
        "dataset may be in another place; if it is not given, it is expected where it "
        "was",
        changeable=True,
        is_path=True,
    )
    data_dir: str = option(
        "data",
        "folder for datasets that are prepared by name",
        changeable=True,
        is_path=True,
    )
    manual_dir: str | None = option(
        None,
        "folder of the archives that only you can download (default: "
        "DATA_DIR/tfds/downloads/manual)",
        changeable=True,
        is_path=True,
    )
    max_bad_files: int = option(
        0,
        "number of unreadable images that are left out and reported when a source is "
        "prepared; one more stops it",
        check=options.at_least(0),
        changeable=True,
    )
    damaged_records: Literal["stop", "skip"] = shared_options.damaged_records(
        changeable=True
    )


@dataclasses.dataclass(frozen=True)
class NetOptions:
    """The net."""

    architecture: str | None = option(
        None,
        f"the net: {', '.join(zoo.ARCHITECTURES)} (default: that of --weights, or else "
        f"{zoo.DEFAULT_TO_TRAIN})",
        check=options.Named(tuple(zoo.ARCHITECTURES)),
    )
    without: tuple[str, ...] = option(
        (),
        "parts of the net to leave out, for ablations: layers as conv3,conv4; lrn, all "
        "normalization layers; overlap, that of the pooling windows; exchange, what the "
        "towers read of each other below the last layer; tower, the second one, with "
        "half the kernels of every convolution but the last",
    )
    activation: ablations.Activation = option(
        "relu", "what follows every layer but the last (paper, figure 1)"
    )
    init: architectures.Initialization | None = option(
        None,
        "initial weights. paper: Gaussian with standard deviation 0.01 everywhere, as in "
        "the paper's text; cuda_convnet: Gaussian with each layer's own, as in the 2012 "
        "program (0.03 in conv3 to conv5) and in Caffe; pytorch: weights and biases "
        "uniform, bounded by the number of inputs (default: as the architecture's "
        "original, pytorch for torchvision and otherwise cuda_convnet)",
    )
    dropout: architectures.DropoutConvention | None = option(
        None,
        "original: halve the outputs at test time, as in 2012; inverted: double them in "
        "training (default: that of --weights, or else as the architecture's original, "
        "inverted for caffe_alexnet, caffenet and torchvision)",
    )
    dropout_rate: float | None = option(
        None,
        "probability with which dropout drops an activation (default: 0.5 in AlexNet); "
        "0: no dropout",
        check=options.between(0, 1),
    )
    lrn: Literal["auto", "op", "stock"] = option(
        "auto",
        "normalization layers: op, this package's ops; stock, TensorFlow's own "
        "operations; auto, the ops if they can compute on the device, and otherwise "
        "TensorFlow's operations, which is said once. A resumed run may have "
        "another one, from which only last bits differ",
        changeable=True,
    )
    winograd: bool = option(
        True,
        "use Winograd convolutions when training on a CPU. Ignored for bfloat16 on AMX, "
        "where direct convolution is faster. Results differ only by rounding",
    )
    precision: shared_options.Precision = shared_options.precision(
        more="; weights, update, softmax and loss are always float32"
    )


@dataclasses.dataclass(frozen=True)
class FineTuningOptions:
    """What the net starts from, and how fast each layer learns."""

    weights: str | None = option(
        None,
        "trained net to start from: a run folder (of train or import_weights), a "
        "checkpoint, or a .keras or .weights.h5 file of export. Each layer of the same "
        "name and shape is taken, and the last one if it is for the same classes. The "
        "mean image that is subtracted is that of the weights too (default: random "
        "weights)",
        is_path=True,
    )
    freeze: tuple[str, ...] = option(
        (),
        "layers that do not learn, as conv1,conv2, or all of a kind, as conv. They cost "
        "no backward pass if no layer below them learns",
    )
    learning_rate_factors: tuple[str, ...] = option(
        (),
        "what multiplies the learning rate of a layer, or of all layers of a kind: "
        "fc8:10,conv:0.1. A layer's own goes before that of its kind",
        check=_are_factors,
    )


@dataclasses.dataclass(frozen=True)
class ReplicaOptions:
    """The copies of the net that train together."""

    strategy: Literal["none", "mirrored", "multi_worker"] = option(
        "none",
        "replicas of the whole net: mirrored, one on each device of this machine; "
        "multi_worker, on the workers that TF_CONFIG or Slurm names",
        changeable=True,
    )


@dataclasses.dataclass(frozen=True)
class RunOptions:
    """The length of the run, its folder, and its checkpoints."""

    run_dir: str = option(
        "runs/default",
        "folder for checkpoints, logs and the trained net",
        changeable=True,
        is_path=True,
    )
    resume: bool = option(
        False,
        "continue the run in --run_dir, or begin it if there is none. Options that are "
        "not given are those that the run was begun with. Another --learning_rate, "
        "--schedule, --drop_epochs or other option of the schedule holds from this step "
        "on, and the run records the change",
        changeable=True,
    )
    epochs: float = option(
        3.4,
        "passes over the training split",
        check=options.at_least_and_finite(0),
        changeable=True,
    )
    max_steps: int | None = option(
        None,
        "number of steps; overrides --epochs",
        check=options.at_least(1),
        changeable=True,
    )
    validation: Literal["epochs", "end", "never"] = option(
        "epochs",
        "when the center-crop error is measured: every --validate_epochs and at the "
        "end, at the end only, or never (a dataset without a validation or test split)",
    )
    validate_epochs: float = option(
        1.0,
        "passes between validations, with --validation=epochs",
        check=options.above(0),
    )
    checkpoint_steps: int = option(
        1000,
        "steps between checkpoints, besides those at validations and at the end",
        check=options.at_least(1),
        changeable=True,
    )
    log_steps: int = option(
        10, "steps between lines of the log", check=options.at_least(1), changeable=True
    )
    log_images: bool = option(
        True,
        "at each validation, show in TensorBoard the first layer's kernels, what the net "
        "says of a few validation images, and histograms of all weights",
        changeable=True,
    )
    overfit_one_batch: bool = option(
        False,
        "train on the first batch alone until all of it is right, and write nothing: a "
        "check of the whole pipeline",
        changeable=True,
    )


@dataclasses.dataclass(frozen=True)
class RecipeOptions:
    """The recipe. The defaults are the 2012 program's, shortened to minutes."""

    seed: int = option(
        0,
        "seed of weights, order, crops, color noise and dropout",
        check=options.at_least(0),
    )
    batch_size: int = option(
        128, "images per step, of all replicas together", check=options.at_least(1)
    )
    learning_rate: float = option(
        0.01,
        "initial learning rate",
        check=options.at_least_and_finite(0),
        adjustable=True,
    )
    bias_learning_rate_factor: float = option(
        2.0,
        "learning rate of the biases, in multiples of the weights': 2 in the 2012 "
        "program, 1 in the paper's text",
        check=options.at_least_and_finite(0),
        adjustable=True,
    )
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = option(
        "none",
        "multiply the learning rate by --batch_size / --reference_batch_size, or by the "
        "square root of it",
        adjustable=True,
    )
    reference_batch_size: int = option(
        128,
        "batch size that --learning_rate was found for, with --learning_rate_scaling",
        check=options.at_least(1),
        adjustable=True,
    )
    momentum: float = option(
        0.9, "part of the velocity that a step keeps", check=options.between(0, 1)
    )
    weight_decay: float | None = option(
        None,
        "decay of the weights, inside the velocity and times the learning rate (default: "
        "each layer's own; 0.0005 in AlexNet)",
        check=options.at_least_and_finite(0),
    )
    schedule: Literal["plateau", "epochs"] = option(
        "epochs",
        "when the learning rate is divided by ten: plateau, when the validation error "
        "stops improving; epochs, at --drop_epochs",
        adjustable=True,
    )
    drop_epochs: tuple[float, ...] = option(
        (2.9,),
        "epochs at which the learning rate is divided by ten, with --schedule=epochs",
        check=options.at_least(0),
        adjustable=True,
    )
    bias_drop_epochs: tuple[float, ...] | None = option(
        None,
        "the same for the biases (default: as --drop_epochs)",
        check=options.at_least(0),
        adjustable=True,
    )
    conv1_drop_epoch: float = option(
        math.inf,
        "epoch at which conv1's learning rate is divided by ten once more; inf: never",
        check=options.at_least(0),
        adjustable=True,
    )
    conv1_freeze_epoch: float = option(
        math.inf,
        "epoch at which conv1 is frozen; inf: never",
        check=options.at_least(0),
        adjustable=True,
    )
    plateau_drops: int = option(
        3,
        "how often --schedule=plateau divides the learning rate",
        check=options.at_least(0),
        adjustable=True,
    )
    color_noise: Literal["paper", "cuda_convnet", "none"] = option(
        "cuda_convnet",
        "PCA color noise: cuda_convnet, alpha times the standard deviation, as in the "
        "2012 program; paper, alpha times the eigenvalue, as in the text",
    )
    color_noise_end_epoch: float = option(
        2.4,
        "epoch at which color noise ends; inf: never. Without color noise it changes "
        "nothing",
        check=options.at_least(0),
    )
    crops: Literal["random", "center"] = option(
        "random",
        "where an image is cropped in training: at a random place, or in the center as "
        "in evaluation",
    )
    mirror: bool = option(True, "mirror every second image, on average")
    crop_sharing: int = option(
        1,
        "number of consecutive images that share a crop and a mirror; 32 in the 2012 "
        "program",
        check=options.at_least(1),
    )


@dataclasses.dataclass(frozen=True)
class TrainOptions:
    """All options of `train`."""

    data: DatasetOptions = options.group(DatasetOptions, "Dataset")
    net: NetOptions = options.group(NetOptions, "Net")
    start: FineTuningOptions = options.group(FineTuningOptions, "Fine-tuning")
    devices: shared_options.LogicalDeviceOptions = options.group(
        shared_options.LogicalDeviceOptions, "Devices"
    )
    replicas: ReplicaOptions = options.group(ReplicaOptions, "Replicas")
    run: RunOptions = options.group(RunOptions, "Run")
    recipe: RecipeOptions = options.group(RecipeOptions, "Recipe")


def net_of(net: NetOptions) -> architectures.Architecture:
    """Returns the net that options name, without what they leave out.

    Raises ValueError if the net has no such part, or if no net is named.

    Example:
        >>> net_of(NetOptions(architecture="paper", without=("lrn",))).name
        'paper-without-lrn'
    """
    return ablations.ablated(
        zoo.find(net.architecture or ""),
        without=net.without,
        activation=net.activation,
        dropout_rate=net.dropout_rate,
    )


# Options that nothing reads unless another option has one of these values.
_READ_WITH = {
    "drop_epochs": ("schedule", ("epochs",)),
    "bias_drop_epochs": ("schedule", ("epochs",)),
    "conv1_drop_epoch": ("schedule", ("epochs",)),
    "conv1_freeze_epoch": ("schedule", ("epochs",)),
    "plateau_drops": ("schedule", ("plateau",)),
    "validate_epochs": ("validation", ("epochs",)),
    "reference_batch_size": ("learning_rate_scaling", ("linear", "sqrt")),
}


# Options of layers that a net may lack: their kinds and what they are called.
_NORMALIZATION = (
    architectures.ResponseNormalization,
    architectures.SpatialNormalization,
)
_OF_LAYERS = {
    "dropout": ((architectures.Dropout,), "dropout"),
    "lrn": (_NORMALIZATION, "normalization"),
}


def refuse_unread_options(
    chosen: TrainOptions, before: TrainOptions | None = None
) -> None:
    """Raises ValueError for an option that was given and that nothing would read.

    `before`, if given, are the options of a run that goes on with the chosen ones. Then
    only those that differ are looked at.
    """
    values, defaults = map(options.values_of, (chosen, TrainOptions()))
    unchanged = {} if before is None else options.values_of(before)
    named = chosen.net.architecture
    if named is None and chosen.start.weights is None:
        named = zoo.DEFAULT_TO_TRAIN
    # Otherwise the net is that of --weights, which is known later.
    if named is not None:
        net = net_of(dataclasses.replace(chosen.net, architecture=named))
        _refuse_options_of_absent_layers(values, unchanged, net)
    recipe = chosen.recipe
    augmented = recipe.crops == "random" or recipe.mirror
    if not augmented and values["crop_sharing"] not in (
        defaults["crop_sharing"],
        unchanged.get("crop_sharing"),
    ):
        raise ValueError(
            f"images share neither crop nor mirror with --crops=center and --nomirror: "
            f"leave --crop_sharing={recipe.crop_sharing} out"
        )
    for name, (other, needed) in _READ_WITH.items():
        value, default = values[name], defaults[name]
        # No epochs at all are what the schedule does without them.
        if values[other] in needed or value in (default, (), unchanged.get(name)):
            continue
        leave = (
            f"leave --{name} out"
            if default is None
            else f"leave --{name} out (its default is {options.text_of(default)})"
        )
        raise ValueError(
            f"--{other}={values[other]} does not read --{name}="
            f"{options.text_of(value)}: {leave}, or choose "
            f"--{other}={' or '.join(needed)}"
        )


def _refuse_options_of_absent_layers(
    values: Mapping[str, Any],
    unchanged: Mapping[str, Any],
    net: architectures.Architecture,
) -> None:
    default_of_net = {"dropout": net.dropout, "lrn": NetOptions().lrn}
    for name, (kinds, what) in _OF_LAYERS.items():
        value = values[name]
        if value in (None, default_of_net[name], unchanged.get(name)):
            continue
        if not any(isinstance(layer, kinds) for layer in net.layers):
            raise ValueError(
                f"{net.name} has no {what} layers, so --{name}={value} would change "
                f"nothing: leave --{name} out, or choose another --architecture"
            )


def refuse_contradictions(chosen: TrainOptions) -> None:
    """Raises ValueError for options that cannot be used together."""
    if chosen.recipe.schedule == "plateau" and chosen.run.validation != "epochs":
        raise ValueError(
            "--schedule=plateau divides the learning rate by what validations find, and "
            f"--validation={chosen.run.validation} leaves it at its initial value: use "
            "--validation=epochs, or --schedule=epochs"
        )


RECORD = "resolved.flags"  # in the run folder

# These belong to a command line, not to a run.
_OF_A_COMMAND = {"run_dir", "resume", "overfit_one_batch"}


def read_record(run_dir: str | os.PathLike[str]) -> TrainOptions:
    """Returns the options that a run was begun, or last resumed, with.

    Raises ValueError if the record is damaged, or has options that this version lacks.
    """
    recorded = _read_flags(pathlib.Path(run_dir) / RECORD)
    # A process may have been killed when only the change was on the disk.
    last = schedule_changes.read(run_dir, recorded)[-1]
    return schedule_changes.with_texts(recorded, last.texts)


def _read_flags(path: pathlib.Path) -> TrainOptions:
    try:
        return options.read(path, TrainOptions)
    except flags.Error as error:
        raise ValueError(
            f"{path} cannot be read ({error}): it is damaged, or another version of "
            "alexnet_tf wrote it. Choose another --run_dir"
        ) from error


def complete(chosen: TrainOptions, given: Set[str]) -> TrainOptions:
    """Returns the options of a resumed run: those that were given, and its record's.

    Args:
        chosen: the options of the command line, with defaults for the others.
        given: the names of those that were given.

    Raises:
        ValueError: the record is damaged; or it is of several workers, and a worker
            that does not see the run folder would have trained something else.
    """
    run_dir = pathlib.Path(chosen.run.run_dir)
    if not chosen.run.resume or not (run_dir / RECORD).exists():
        return chosen
    recorded = read_record(run_dir)
    if recorded.replicas.strategy == "multi_worker" and "strategy" not in given:
        raise ValueError(
            f"several workers trained {run_dir}: give --strategy=multi_worker to all of "
            "them, or --strategy=none to continue with one process"
        )
    kept = given | _OF_A_COMMAND
    if "epochs" in given:
        kept |= {"max_steps"}  # which would override --epochs
    values = {
        name: value
        for name, value in options.values_of(recorded).items()
        if name not in kept
    }
    if not {"dataset", "data_dir"} & given and (path := _recorded_dataset(run_dir)):
        values["dataset"] = path
    return options.replace(chosen, **values)


def _recorded_dataset(run_dir: pathlib.Path) -> str | None:
    """The absolute path of a run's prepared dataset, if it is still there."""
    with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
        described = json.loads((run_dir / "model.json").read_text(encoding="utf-8"))
        path = described["dataset"]["path"]
        return path if os.path.isdir(path) else None
    return None
