"""Changes of the learning rate's schedule in the middle of a run. No TensorFlow.

A resumed run may be given other options of the schedule (those that are `adjustable`),
which hold from the step at which it continues:

    RUN/changes.jsonl   {"step": 2000, "option": "learning_rate", "old": "0.01", ...}

Every line is one option, with both values as a flag file writes them (null: not given).
So the schedule of a run is a function of its options, of these lines and of the step. A
run that falls back to an older checkpoint changes again at the same step.
"""

import itertools
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple, TypeVar

from absl import flags

from alexnet_tf.runtime import files, options

FILE = "changes.jsonl"  # in the run folder

Options = TypeVar("Options")
# The adjustable options by name, as flag files write them; None if not given.
Texts = Mapping[str, str | None]


class Change(NamedTuple):
    """One option that changed at a step; its values are as flag files write them."""

    step: int
    option: str
    old: str | None
    new: str | None

    def __str__(self) -> str:
        def flag(text: str | None) -> str:
            return f"no --{self.option}" if text is None else f"--{self.option}={text}"

        return f"{flag(self.old)} is now {flag(self.new)}"


class Stage(NamedTuple):
    """The options of the schedule from a step of the run on."""

    step: int
    texts: Texts


def texts_of(chosen: Any) -> dict[str, str | None]:
    """Returns the adjustable options of a command as flag files write them."""
    values = options.values_of(chosen)
    return {
        name: None if values[name] is None else options.text_of(values[name])
        for name in options.adjustable(type(chosen))
    }


def with_texts(chosen: Options, texts: Texts) -> Options:
    """Returns the options with others in the place of those that `texts` names.

    Raises flags.Error for a value that the option does not have.
    """
    given = [f"--{name}={text}" for name, text in texts.items() if text is not None]
    values = options.values_of(options.parse(type(chosen), given))
    found = {n: None if text is None else values[n] for n, text in texts.items()}
    return options.replace(chosen, **found)


def read(run_dir: str | os.PathLike[str], recorded: Options) -> list[Stage]:
    """Returns the stages of a run's schedule, of which the first begins at step 0.

    Args:
        run_dir: the run folder.
        recorded: the options that the run was begun, or last resumed, with.

    Raises:
        ValueError: the file of changes is damaged.
    """
    path = pathlib.Path(run_dir) / FILE
    texts = texts_of(recorded)
    changes: list[Change] = []
    try:
        if path.exists():
            for line in path.read_text(encoding="utf-8").splitlines():
                changes.append(_parse(line, recorded))
        for change in reversed(changes):
            texts[change.option] = change.old
        stages = [Stage(0, texts)]
        for step, group in itertools.groupby(changes, lambda change: change.step):
            if step < stages[-1].step:
                raise ValueError(f"step {step} comes after step {stages[-1].step}")
            stages.append(Stage(step, _changed(stages[-1].texts, list(group))))
    except (ValueError, TypeError, RecursionError, flags.Error) as error:
        raise ValueError(
            f"{path} is damaged ({error}). It says when the schedule of the run was "
            "changed: restore it, or choose another --run_dir"
        ) from error
    return stages


def _parse(line: str, recorded: Any) -> Change:
    """Returns the change of one line, whose values the option may have."""
    change = Change(**json.loads(line))
    if type(change.step) is not int or change.step < 0:
        raise ValueError(f"step {change.step!r} is not the number of a step")
    if change.option not in options.adjustable(type(recorded)):
        raise ValueError(f"{change.option!r} is not an option of the schedule")
    for text in (change.old, change.new):
        with_texts(recorded, {change.option: text})
    return change


def _changed(texts: Texts, changes: Sequence[Change]) -> Texts:
    for change in changes:
        if texts[change.option] != change.old:
            raise ValueError(
                f"at step {change.step} --{change.option} was {texts[change.option]} "
                f"and not {change.old}"
            )
    return {**texts, **{change.option: change.new for change in changes}}


def revise(stages: Sequence[Stage], chosen: Any, step: int) -> list[Stage]:
    """Returns the stages of a run that goes on at `step` with the `chosen` options.

    If they differ from the last stage's, a new stage begins at `step`, in the place of
    those that would begin there or later. They are of steps that are not there any more.
    """
    texts = texts_of(chosen)
    if texts == stages[-1].texts:
        return list(stages)
    kept = [stages[0], *(stage for stage in stages[1:] if stage.step < step)]
    return kept if texts == kept[-1].texts else [*kept, Stage(step, texts)]


def changes(before: Stage, after: Stage) -> list[Change]:
    """Returns the options that differ between two stages, one after the other."""
    return [
        Change(after.step, name, before.texts[name], new)
        for name, new in after.texts.items()
        if before.texts[name] != new
    ]


def write(run_dir: str | os.PathLike[str], stages: Sequence[Stage]) -> None:
    """Writes the changes of a run; without any, there is no file."""
    path = pathlib.Path(run_dir) / FILE
    lines = [
        json.dumps(change._asdict()) + "\n"
        for before, after in itertools.pairwise(stages)
        for change in changes(before, after)
    ]
    if lines:
        files.write_text(path, "".join(lines))
    else:
        path.unlink(missing_ok=True)
