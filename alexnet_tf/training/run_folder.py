"""Records the options of a run in its folder, which belongs to that run alone.

RUN/resolved.flags          every option, as a flag file
RUN/model.json, mean.npy    the trained net without its weights
"""

import pathlib

from alexnet_tf.models import trained
from alexnet_tf.runtime import options
from alexnet_tf.training import train_options

RESOLVED = "resolved.flags"


def record_run(chosen: train_options.TrainOptions, net: trained.TrainedNet) -> None:
    """Writes the options and the net into the run folder, before the first step.

    Raises ValueError if the folder holds a run and --resume is not given, if an option
    that the numbers of the run depend on differs, or if the dataset holds other images.
    """
    folder = pathlib.Path(chosen.run.run_dir)
    if (folder / RESOLVED).exists():
        if not chosen.run.resume:
            raise ValueError(
                f"{folder} holds a run already: continue it with --resume, or choose "
                "another --run_dir"
            )
        _compare_options(
            options.read(folder / RESOLVED, train_options.TrainOptions), chosen
        )
    if (folder / trained.MODEL_FILE).exists():
        _compare_datasets(folder, trained.read_trained_net(folder), net)
    folder.mkdir(parents=True, exist_ok=True)
    trained.write_trained_net(folder, net)
    options.write(folder / RESOLVED, chosen)


def _compare_options(
    before: train_options.TrainOptions, now: train_options.TrainOptions
) -> None:
    began = options.values_of(before, changeable=False)
    for name, value in options.values_of(now, changeable=False).items():
        if began[name] != value:
            raise ValueError(
                f"{now.run.run_dir} was started with {_flag(name, began[name])}, and now "
                f"it is {_flag(name, value)}: give the same, or choose another --run_dir"
            )


def _flag(name: str, value: object) -> str:
    return f"no --{name}" if value is None else f"--{name}={options.text_of(value)}"


def _compare_datasets(
    folder: pathlib.Path, before: trained.TrainedNet, now: trained.TrainedNet
) -> None:
    if before.dataset_digest != now.dataset_digest:
        raise ValueError(
            f"{folder} was trained on other images than {now.dataset_path} holds (the "
            f"digests differ; it was trained on {before.dataset_path}): give the dataset "
            "that it was trained on by --dataset, or choose another --run_dir"
        )
