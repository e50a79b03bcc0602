"""Begins a run in its folder, or continues the one that is there.

Options that define a run never change. Those of the schedule may: a change holds from
the step at which the run continues, and `schedule_changes.py` records it.
"""

import itertools
from collections.abc import Sequence

from alexnet_tf.training import (
    assembly,
    replication,
    run_folder,
    schedule,
    schedule_changes,
    train_options,
    trainer,
)


def begin_or_resume(
    chosen: train_options.TrainOptions,
    assembled: assembly.Assembly,
    replicas: replication.Replicas,
) -> bool:
    """Records a run in its folder and restores its newest checkpoint.

    Returns whether there is a checkpoint. Without --resume the run begins.

    Raises ValueError as `run_folder.record_run` does, and CheckpointError as
    `Trainer.restore` does.
    """
    run, run_dir = assembled.trainer, chosen.run.run_dir
    replicas.from_chief(lambda: run_folder.record_run(chosen, assembled.trained))
    # Workers that do not see the run folder need the schedules too.
    recorded = replicas.from_chief(lambda: run_folder.stages(run_dir))
    run.schedule, run.changes = _schedules(chosen, recorded)
    resumed = run.restore() if chosen.run.resume else False
    step = run.state.step
    revised = replicas.from_chief(lambda: run_folder.record_changes(chosen, step))
    _, run.changes = _schedules(chosen, revised)
    return resumed


def _schedules(
    chosen: train_options.TrainOptions, stages: Sequence[Sequence]
) -> tuple[schedule.Schedule, list[trainer.ScheduleChange]]:
    """Returns the schedule that a run begins with, and the changes of it."""

    def made(stage: schedule_changes.Stage) -> schedule.Schedule:
        changed = schedule_changes.with_texts(chosen, stage.texts)
        return assembly.make_schedule(changed.recipe)

    first, *later = (schedule_changes.Stage(*stage) for stage in stages)
    return made(first), [
        trainer.ScheduleChange(
            after.step, made(after), schedule_changes.changes(before, after)
        )
        for before, after in itertools.pairwise([first, *later])
    ]
