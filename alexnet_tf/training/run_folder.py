"""Records the options of a run in its folder, which belongs to that run alone.

RUN/resolved.flags          every option, as a flag file; as last resumed
RUN/changes.jsonl           the changes of the schedule, with the earlier values
RUN/model.json, mean.npy    the trained net without its weights
RUN/environment.json        the software and the processor, on which the last bits depend
"""

import pathlib

from alexnet_tf.models import checkpoint_files, checkpoint_weights, trained
from alexnet_tf.runtime import files, options
from alexnet_tf.training import (
    environment,
    log_records,
    schedule_changes,
    train_options,
)


def check_options(chosen: train_options.TrainOptions) -> None:
    """Raises ValueError if the run folder holds another run than the options describe.

    That is, if it holds a run and --resume is not given, if an option that the numbers
    of the run depend on differs, or if checkpoints are there and the files that say
    what they were trained with are not. A run that begins must not have options that
    nothing reads, and a run that is resumed must not change such an option.
    """
    folder = pathlib.Path(chosen.run.run_dir)
    begun = (folder / train_options.RECORD).exists()
    trained_steps = checkpoint_files.list_checkpoints(folder / checkpoint_files.NEWEST)
    if (begun or trained_steps) and not chosen.run.resume:
        raise ValueError(
            f"{folder} holds a run already: continue it with --resume, or choose "
            "another --run_dir"
        )
    for name in (train_options.RECORD, trained.MODEL_FILE):
        if trained_steps and not (folder / name).exists():
            raise ValueError(
                f"{folder / name} is missing, which says what the checkpoints beside it "
                "were trained with: restore that file, or choose another --run_dir"
            )
    if not begun:
        train_options.refuse_unread_options(chosen)
    else:
        before = train_options.read_record(folder)
        _compare_options(before, chosen)
        train_options.refuse_unread_options(chosen, before)


def record_run(chosen: train_options.TrainOptions, net: trained.TrainedNet) -> None:
    """Writes the options and the net into the run folder, before the first step.

    The options of the schedule keep their earlier values here; `record_changes` writes
    the new ones.

    Removes what a killed process left unfinished there; the folder must be locked.
    Warns if the run was computed with other software or on another processor so far.
    Raises ValueError as `check_options` does, and if the dataset holds other images
    than those that the run was begun with, or --weights other weights.
    """
    check_options(chosen)
    folder = pathlib.Path(chosen.run.run_dir)
    # A run that was killed before its options were written has not begun.
    begun = (folder / train_options.RECORD).exists()
    if begun and (folder / trained.MODEL_FILE).exists():
        before = trained.read_trained_net(folder)
        _compare_datasets(folder, before, net)
        _compare_initial_weights(folder, before, net)
    if begun:
        texts = schedule_changes.texts_of(train_options.read_record(folder))
        chosen = schedule_changes.with_texts(chosen, texts)
    else:
        schedule_changes.write(folder, [])  # those of a run that was removed
    files.make_folder(folder)
    for name in (checkpoint_files.NEWEST, checkpoint_files.BEST):
        checkpoint_files.remove_unfinished(folder / name)
    environment.record(folder, net.normalization or "")
    trained.write_trained_net(folder, net)
    options.write(folder / train_options.RECORD, chosen)


def stages(run_dir: str) -> list[schedule_changes.Stage]:
    """Returns the stages of the schedule that the folder of a run records."""
    return schedule_changes.read(run_dir, train_options.read_record(run_dir))


def record_changes(
    chosen: train_options.TrainOptions, step: int
) -> list[schedule_changes.Stage]:
    """Records that the run goes on at `step` with the chosen options of the schedule.

    Returns the stages of the schedule. If the process is killed between the two writes,
    the change is made: `train_options.read_record` reads both files.
    """
    before = stages(chosen.run.run_dir)
    after = schedule_changes.revise(before, chosen, step)
    if after != before:
        schedule_changes.write(chosen.run.run_dir, after)
        options.write(pathlib.Path(chosen.run.run_dir) / train_options.RECORD, chosen)
    return after


def _compare_options(
    before: train_options.TrainOptions, now: train_options.TrainOptions
) -> None:
    began = options.values_of(before, changeable=False)
    adjustable = options.adjustable(train_options.TrainOptions)
    for name, value in options.values_of(now, changeable=False).items():
        if name not in adjustable and began[name] != value:
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


def _compare_initial_weights(
    folder: pathlib.Path, before: trained.TrainedNet, now: trained.TrainedNet
) -> None:
    one, other = before.started_from, now.started_from
    if (one and one.digest) != (other and other.digest):
        raise ValueError(
            f"{folder} was begun with other weights than {other and other.path} holds now "
            f"(the digests differ): give the weights that it was begun with, or choose "
            "another --run_dir"
        )


def results(run_dir: str) -> list[str]:
    """The newest and the best checkpoint of a run, each with its own error, and where."""
    found = []
    split = log_records.validation_split(log_records.read(run_dir))
    for folder, which in (
        (checkpoint_files.NEWEST, "newest"),
        (checkpoint_files.BEST, "best"),
    ):
        prefix = checkpoint_files.newest_checkpoint(pathlib.Path(run_dir) / folder)
        if prefix is None:
            continue
        with checkpoint_weights.readable(prefix):
            error = checkpoint_weights.read_state(prefix).get("error")
        measured = (
            "not validated"
            if error is None
            else f"top-1 error {error:.2f} % on the {split} split"
        )
        found.append(f"{which} checkpoint {prefix}: {measured}")
    return found
