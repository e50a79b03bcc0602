"""The options of `python -m alexnet_tf.train`. No TensorFlow."""

import dataclasses
import math
from typing import Literal

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models import zoo
from alexnet_tf.runtime import device_options, options
from alexnet_tf.runtime.options import option


@dataclasses.dataclass(frozen=True)
class DatasetOptions:
    """The dataset that the net is trained on."""

    dataset: str = option(
        "garments",
        "a prepared folder, or a source by its name: garments (embedded), imagenet2012, "
        "ilsvrc2010, tfds:NAME. A source is prepared in --data_dir on first use. When a "
        "run is resumed, the same dataset may be in another place",
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
    damaged_records: Literal["stop", "skip"] = option(
        "stop",
        "at a record that is damaged on the disk: stop with its file and place, or skip "
        "it with a warning and count it",
        changeable=True,
    )


@dataclasses.dataclass(frozen=True)
class NetOptions:
    """The net."""

    architecture: str = option(
        "cuda_convnet",
        f"the net: {', '.join(zoo.ARCHITECTURES)}",
        check=options.one_of(*zoo.ARCHITECTURES),
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
        "training (default: as the architecture's original, inverted for caffe_alexnet, "
        "caffenet and torchvision)",
    )
    lrn: Literal["op", "stock"] = option(
        "op", "normalization layers: this package's ops, or TensorFlow's own operations"
    )
    winograd: bool = option(
        True,
        "use Winograd convolutions when training on a CPU. Ignored for bfloat16 on AMX, "
        "where direct convolution is faster. Results differ only by rounding",
    )
    precision: Literal["auto", "float32", "tf32", "bfloat16"] = option(
        "auto",
        "compute type; weights, update, softmax and loss are always float32. tf32: "
        "float32 whose products NVIDIA GPUs since Ampere round to 10 bits. auto: "
        "bfloat16 if the CPU or the GPU multiplies in it, otherwise float32",
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
        "continue the run in --run_dir, or begin it if there is none",
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
        1.0, "passes between validations", check=options.above(0)
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
        0.01, "initial learning rate", check=options.at_least_and_finite(0)
    )
    bias_learning_rate_factor: float = option(
        2.0,
        "learning rate of the biases, in multiples of the weights': 2 in the 2012 "
        "program, 1 in the paper's text",
        check=options.at_least_and_finite(0),
    )
    learning_rate_scaling: Literal["none", "linear", "sqrt"] = option(
        "none",
        "multiply the learning rate by --batch_size / --reference_batch_size, or by the "
        "square root of it",
    )
    reference_batch_size: int = option(
        128,
        "batch size that --learning_rate was found for",
        check=options.at_least(1),
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
    )
    drop_epochs: tuple[float, ...] = option(
        (2.9,),
        "epochs at which the learning rate is divided by ten",
        check=options.at_least(0),
    )
    bias_drop_epochs: tuple[float, ...] | None = option(
        None,
        "the same for the biases (default: as --drop_epochs)",
        check=options.at_least(0),
    )
    conv1_drop_epoch: float = option(
        math.inf,
        "epoch at which conv1's learning rate is divided by ten once more; inf: never",
        check=options.at_least(0),
    )
    conv1_freeze_epoch: float = option(
        math.inf,
        "epoch at which conv1 is frozen; inf: never",
        check=options.at_least(0),
    )
    plateau_drops: int = option(
        3,
        "how often --schedule=plateau divides the learning rate",
        check=options.at_least(0),
    )
    color_noise: Literal["paper", "cuda_convnet", "none"] = option(
        "cuda_convnet",
        "PCA color noise: cuda_convnet, alpha times the standard deviation, as in the "
        "2012 program; paper, alpha times the eigenvalue, as in the text",
    )
    color_noise_end_epoch: float = option(
        2.4, "epoch at which color noise ends; inf: never", check=options.at_least(0)
    )
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
    devices: device_options.DeviceOptions = options.group(
        device_options.DeviceOptions, "Devices"
    )
    replicas: ReplicaOptions = options.group(ReplicaOptions, "Replicas")
    run: RunOptions = options.group(RunOptions, "Run")
    recipe: RecipeOptions = options.group(RecipeOptions, "Recipe")
