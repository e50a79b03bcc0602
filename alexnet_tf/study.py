"""Trains every combination of some options with several seeds, and compares them.

    python -m alexnet_tf.study --vary=architecture=cuda_convnet,no_lrn --seeds=0,1,2 \\
        --flagfile=tools/cuda_convnet.flags --output=studies/lrn

All other flags are those of train, and are given to every training. Trainings run one
after the other, each as a process of its own. A study that was stopped, in whatever way,
continues when the same command is run again, and what is finished is not repeated. One
training that fails does not stop the others. OUTPUT gets study.json, table.md,
commands.sh and, with matplotlib, a figure of the spread. docs/studies.md has a recipe
for every ablation of the paper.
"""

import dataclasses
import json
import pathlib
import sys
import time
from collections.abc import Sequence
from typing import Any

from absl import flags

from alexnet_tf.runtime import command, files, lock, options, tables
from alexnet_tf.runtime.options import option
from alexnet_tf.studies import plan as plans
from alexnet_tf.studies import processes, results, trial
from alexnet_tf.training import train_options


@dataclasses.dataclass(frozen=True)
class StudyGroup:
    """What is trained, and what is compared."""

    vary: tuple[str, ...] = option(
        (),
        "a flag of train and its values, as learning_rate=0.01,0.001; separated by "
        "semicolons if a value contains commas. Given several times, all combinations "
        "are trained. Each is compared with the first one",
        repeatable=True,
    )
    seeds: tuple[int, ...] = option(
        (0, 1, 2), "seeds of each combination", check=options.at_least(0)
    )
    output: str = option(
        "studies/default",
        "folder for the study, with a run folder for each training below it",
        is_path=True,
    )
    part: str = option(
        "1/1",
        "the part of the trainings that this process runs, as 2/4 for the second of "
        "four. The machines that share a study need the same --output, on a disk that "
        "all of them see",
    )
    evaluate: bool = option(
        True,
        "measure the errors of every trained net, with the center crop and ten crops, on "
        "the validation or test split",
    )
    reach: float | None = option(
        None,
        "training top-1 error in percent; passes until it is reached are compared then",
        check=options.at_least(0),
    )
    best: str | None = option(
        None,
        "a flag of --vary: of its values, only the best one is compared for each "
        "combination of the others, as for a learning rate out of a grid",
    )


@dataclasses.dataclass(frozen=True)
class StudyOptions:
    """The options of `study` itself; those of `train` come beside them."""

    study: StudyGroup = options.group(StudyGroup, "Study")


OPTIONS = StudyOptions


def main(chosen: StudyOptions, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments)
    run_study(chosen.study, plans.common_flags(flags.FLAGS))


def run_study(study: StudyGroup, common: Sequence[str]) -> None:
    """Trains what is not finished of a study, and writes what it has found.

    Args:
        study: what varies.
        common: flags of all trainings, each as --name=value.

    Raises:
        ValueError: a training has options that `train` refuses, or the folder holds
            another study; nothing was trained.
        RuntimeError: trainings have failed; the others are finished.
    """
    plan = _plan_of(study, common)
    number, count = plans.part_of(study.part)
    mine = plan.part(number, count)
    if not mine:
        raise ValueError(
            f"--part={study.part}: there are only {len(plan.runs())} trainings"
        )
    output = pathlib.Path(study.output)
    files.check_writable(output)
    _refuse_another_study(plan)
    waiting = [run for run in mine if not (plan.run_dir(run) / results.RESULT).exists()]
    lengths = _lengths(plan, waiting, study.evaluate)
    with lock.exclusive(
        output / "parts" / study.part.replace("/", "-of-"),
        "wait for it, or choose another --output or --part",
    ):
        files.write_text(output / plans.FLAGS_FILE, "\n".join(plan.common) + "\n")
        files.write_text(output / "commands.sh", plan.shell_commands())
        failed: dict[str, str] = {}
        began = time.monotonic()
        for done, run in enumerate(waiting):
            if (plan.run_dir(run) / results.RESULT).exists():
                continue  # another part of a study that was divided otherwise made it
            spent = time.monotonic() - began
            left = spent / done * (len(waiting) - done) if done else None
            _say(len(mine) - len(waiting) + done + 1, len(mine), run, failed, left)
            if why := _make_run(plan, run, lengths[run.name], study):
                failed[run.name] = why
                _say_failure(run, why)
            _write(plan, study, failed)
        compared = _write(plan, study, failed)
    if compared:
        print(tables.typeset("text", *results.table_of(compared)))
        _draw(plan, compared, study.reach)
    if failed:
        raise RuntimeError(
            f"{len(failed)} of {len(mine)} trainings failed: "
            + "; ".join(f"{name} ({why})" for name, why in failed.items())
            + ". The others are finished; the same command tries these again"
        )


def _plan_of(study: StudyGroup, common: Sequence[str]) -> plans.Plan:
    for seed in study.seeds:
        if study.seeds.count(seed) > 1:
            raise ValueError(f"--seeds names {seed} twice: name each seed once")
    if not study.seeds:
        raise ValueError("--seeds is empty: name at least one, as --seeds=0,1,2")
    factors = tuple(map(plans.factor_of, study.vary))
    plan = plans.Plan(tuple(common), factors, study.seeds, study.output)
    plan.check()
    varied = [factor.flag for factor in factors]
    if study.best is not None and study.best not in varied:
        raise ValueError(
            f"--best={study.best} is no flag of --vary: choose one of "
            f"{', '.join(varied) or 'them, which needs --vary'}"
        )
    return plan


def _refuse_another_study(plan: plans.Plan) -> None:
    before = plans.recorded_flags(plan.output)
    for difference in (
        plans.differing(before, plan.common) if before is not None else ()
    ):
        raise ValueError(
            f"{plan.output} holds another study: {difference}. Give the same flags, or "
            "choose another --output"
        )
    varied = results.recorded_factors(plan.output)
    chosen = {factor.flag for factor in plan.factors}
    if varied is not None and varied != chosen:
        raise ValueError(
            f"{plan.output} holds another study, which varies {_listed(varied)}, and "
            f"this one varies {_listed(chosen)}: choose another --output"
        )


def _listed(flags: set[str]) -> str:
    return ", ".join(f"--{flag}" for flag in sorted(flags)) or "nothing"


def _lengths(
    plan: plans.Plan, waiting: Sequence[plans.Run], evaluated: bool
) -> dict[str, trial.Length]:
    """How long each training is; raises ValueError if one of them is refused."""
    firsts: dict[tuple[str, ...], plans.Run] = {}
    for run in waiting:
        firsts.setdefault(run.setting, run)
    if not firsts:
        return {}
    print(f"checking {len(firsts)} kinds of training", file=sys.stderr)
    answers = trial.lengths_of(
        [plan.flags_of(run) for run in firsts.values()],
        evaluated=evaluated,
    )
    for run, answer in zip(firsts.values(), answers, strict=True):
        if isinstance(answer, str):
            raise ValueError(f"{run.name}: {answer}")
    by_setting = dict(zip(firsts, answers, strict=True))
    return {
        run.name: length
        for run in waiting
        if isinstance(length := by_setting[run.setting], trial.Length)
    }


def _make_run(
    plan: plans.Plan, run: plans.Run, length: trial.Length, study: StudyGroup
) -> str | None:
    """Trains and measures one run; returns why it failed, or None."""
    run_dir, log = plan.run_dir(run), pathlib.Path(plan.output) / f"{run.name}.log"
    steps = [("train", plan.command_of(run))]
    if study.evaluate:
        steps.append(("evaluate", _evaluation_of(plan, run)))
    for name, arguments in steps:
        if processes.run(["-m", f"alexnet_tf.{name}", *arguments], log):
            return f"{name} failed: {processes.last_line(log)}"
        newest = run_dir / "checkpoints" / f"step-{length.last_step}.index"
        if not newest.exists():
            return f"the training was stopped before step {length.last_step}"
    chosen = _train_options(plan, run)
    results.write_result(plan, run, length, batch_size=chosen.recipe.batch_size)
    return None


def _evaluation_of(plan: plans.Plan, run: plans.Run) -> list[str]:
    chosen = _train_options(plan, run)
    flags_of_both = {
        "precision": chosen.net.precision,
        "tower_devices": chosen.devices.tower_devices,
        "logical_cpus": chosen.devices.logical_cpus,
        "logical_gpus": chosen.devices.logical_gpus,
    }
    return [
        f"--checkpoint={plan.run_dir(run)}",
        *(f"--{n}={options.text_of(v)}" for n, v in flags_of_both.items() if v),
    ]


def _train_options(plan: plans.Plan, run: plans.Run) -> train_options.TrainOptions:
    return options.parse(train_options.TrainOptions, plan.flags_of(run))


def _say(
    number: int, count: int, run: plans.Run, failed: dict, left: float | None
) -> None:
    notes = [f"{len(failed)} failed"] if failed else []
    if left is not None:
        notes.append(f"about {left / 60:.0f} min left")
    more = f" ({', '.join(notes)})" if notes else ""
    print(f"== {number} of {count}: {run.name}{more}", file=sys.stderr, flush=True)


def _say_failure(run: plans.Run, why: str) -> None:
    print(f"== {run.name} failed and is left out: {why}", file=sys.stderr, flush=True)


def _write(
    plan: plans.Plan, study: StudyGroup, failed: dict[str, str]
) -> list[results.Setting]:
    """Writes study.json and table.md, and returns the settings that are compared."""
    found = results.read_results(plan)
    if not found:
        return []
    order = [run.setting for run in plan.runs()]
    found.sort(key=lambda each: order.index(tuple(each["values"].values())))
    settings = results.settings_of(found, reach=study.reach)
    compared = results.best_settings(settings, study.best) if study.best else settings
    expected = len(plan.runs())
    about: dict[str, Any] = {
        "flags": list(plan.common),
        "vary": {factor.flag: list(factor.values) for factor in plan.factors},
        "seeds": list(plan.seeds),
        "reach": study.reach,
        "best": study.best,
        "finished": len(found),
        "trainings": expected,
        "failed": failed,
        "machines": sorted({each["machine"] for each in found}),
        "settings": results.summary_of(settings),
        "compared": results.summary_of(compared),
        "runs": found,
    }
    output = pathlib.Path(plan.output)
    files.write_text(output / results.STUDY, json.dumps(about) + "\n")
    header, rows = results.table_of(compared)
    note = f"{len(found)} of {expected} trainings are finished.\n\n"
    shown = tables.typeset("markdown", header, rows)
    files.write_text(
        output / "table.md", (note if len(found) < expected else "") + shown + "\n"
    )
    return compared


def _draw(
    plan: plans.Plan, compared: Sequence[results.Setting], reach: float | None
) -> None:
    """Draws the spread, and how the error falls to `reach`, if matplotlib is there."""
    try:
        from alexnet_tf.drawing import approach, figure, spread
    except OSError as error:
        print(f"no figure is drawn: {error}", file=sys.stderr)
        return
    measure = results.main_measure(compared)
    drawn = [
        spread.draw(
            [
                (results.label_of(setting), setting.spreads[measure].by_seed)
                for setting in compared
            ],
            results.title_of(measure, compared),
        )
    ]
    if reach is not None:
        runs = results.read_results(plan)
        curves = [(results.label_of(s), results.curves_of(runs, s)) for s in compared]
        drawn.append(approach.draw(curves, reach))
    for each in drawn:
        path, *_ = figure.write(each, plan.output)
        print(f"{path}: {each.caption}")


if __name__ == "__main__":
    options.define(train_options.TrainOptions, flags.FLAGS)
    command.run_command("study", OPTIONS, main, __doc__)
