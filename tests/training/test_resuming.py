"""The schedule of a run may change when it is resumed, and nothing else that defines it."""

import functools
import json
import math
import shutil
import typing

import pytest

from alexnet_tf.models import checkpoint_files
from alexnet_tf.runtime import options
from alexnet_tf.training import run_folder, schedule_changes, train_options
from tests.support import runs

# With it, every step is followed by a validation of this top-1 error.
ERRORS = dict.fromkeys(range(1, 20), 50.0)


def begin_anew(dataset, run_dir, steps, **changes):
    """Begins a run of `steps` steps; three steps per epoch."""
    chosen = {"max_steps": steps, "validate_epochs": 1 / 3, **changes}
    runs.begin(runs.tiny_options_of(dataset, run_dir, **chosen), errors=ERRORS)


@pytest.fixture(scope="module")
def begun(small_dataset, tmp_path_factory):
    """Returns a run that was begun with these steps and options. Do not change it."""
    folder = tmp_path_factory.mktemp("begun")

    @functools.cache
    def begun(steps, **changes):
        run_dir = folder / f"{steps}{len(list(folder.iterdir()))}"
        begin_anew(small_dataset, run_dir, steps, **changes)
        return run_dir

    return begun


@pytest.fixture
def begin(begun, tmp_path):
    """Puts a copy of a begun run into a folder by its name."""
    return lambda name, *steps, **changes: shutil.copytree(
        begun(*steps, **changes), tmp_path / name
    )


def resume(run_dir, steps, **given):
    return runs.resume(run_dir, errors=ERRORS, max_steps=steps, **given)


def changes_of(run_dir):
    """What the log and the file of changes say; they must agree."""
    lines = (run_dir / schedule_changes.FILE).read_text().splitlines()
    recorded = [json.loads(line) for line in lines]
    logged = runs.log_of(run_dir, "change")
    assert [{"kind": "change", **change} for change in recorded] == logged
    return [tuple(change.values()) for change in recorded]


def learning_rates_of(run_dir):
    return [record["learning_rate"] for record in runs.log_of(run_dir)]


@pytest.mark.parametrize(
    ("options_before", "given", "expected"),
    [
        ({}, {"learning_rate": 0.01}, [0.001] * 3 + [0.01] * 6),
        # The seventh step is the first of the third epoch.
        pytest.param(
            *({}, {"drop_epochs": (2.0,)}, [0.001] * 6 + [0.0001] * 3),
            marks=pytest.mark.long,
        ),
        pytest.param(
            *({}, {"bias_learning_rate_factor": 9.0}, [0.001] * 9),
            marks=pytest.mark.long,
        ),
        # The first validation with it is the best one so far, and three more are not.
        ({}, {"schedule": "plateau"}, [0.001] * 7 + [0.0001] * 2),
        # One pass of three had gone without improvement; from step 3 there are three.
        (
            {"schedule": "plateau"},
            {"learning_rate": 0.01},
            [0.001] * 3 + [0.01] * 3 + [0.001] * 3,
        ),
    ],
)
def test_a_changed_run_equals_one_that_is_not_interrupted_again(
    begin, options_before, given, expected
):
    unchanged = begin("unchanged", 9, **options_before)
    whole, parts = (begin(name, 3, **options_before) for name in ("whole", "parts"))
    resume(whole, 9, **given)
    resume(parts, 4, **given)
    resume(parts, 7)
    resume(parts, 9)
    assert runs.same_weights(whole, parts)
    assert not runs.same_weights(whole, unchanged)
    assert learning_rates_of(whole) == pytest.approx(expected)
    assert learning_rates_of(parts) == learning_rates_of(whole)
    assert changes_of(parts) == changes_of(whole)
    assert [change[:2] for change in changes_of(whole)] == [(3, name) for name in given]


def test_changes_in_a_row_and_back_are_recorded_with_both_values(begin):
    run_dir = begin("run", 2)
    resume(run_dir, 4, learning_rate=0.01, drop_epochs=(5.0, 6.0))
    resume(run_dir, 5, learning_rate=0.001)
    resume(run_dir, 6, bias_drop_epochs=(9.0,), drop_epochs=())
    assert changes_of(run_dir) == [
        (2, "learning_rate", "0.001", "0.01"),
        (2, "drop_epochs", "", "5.0,6.0"),
        (4, "learning_rate", "0.01", "0.001"),
        (5, "drop_epochs", "5.0,6.0", ""),
        (5, "bias_drop_epochs", None, "9.0"),
    ]
    assert learning_rates_of(run_dir) == [0.001] * 2 + [0.01] * 2 + [0.001] * 2
    recorded = train_options.read_record(run_dir).recipe
    assert (recorded.learning_rate, recorded.drop_epochs) == (0.001, ())
    began = run_folder.stages(run_dir)[0].texts
    assert (began["learning_rate"], began["bias_drop_epochs"]) == ("0.001", None)


def test_a_run_without_a_checkpoint_changes_at_step_0(begin, small_dataset, tmp_path):
    chosen = runs.tiny_options_of(small_dataset, tmp_path / "killed", max_steps=2)
    runs.record(chosen)
    resume(tmp_path / "killed", 2, learning_rate=0.01)
    assert changes_of(tmp_path / "killed") == [(0, "learning_rate", "0.001", "0.01")]
    whole = begin("whole", 2, learning_rate=0.01)
    assert runs.same_weights(whole, tmp_path / "killed")


def kill_before_a_step(run_dir, monkeypatch, **given):
    """Resumes a run with other options; it ends before its first step."""
    with monkeypatch.context() as patched:
        patched.setattr(
            "alexnet_tf.training.training_step.Step.trace",
            lambda *_: (_ for _ in ()).throw(KeyboardInterrupt),
        )
        with pytest.raises(KeyboardInterrupt):
            resume(run_dir, 5, **given)


@pytest.mark.parametrize("written", ["nothing", "the change", "both", "and a log"])
def test_a_kill_after_a_change_leaves_the_old_or_the_new_schedule(
    begin, monkeypatch, written
):
    run_dir = begin("run", 3)
    before = (run_dir / train_options.RECORD).read_text()
    log = (run_dir / "log.jsonl").read_text()
    kill_before_a_step(run_dir, monkeypatch, learning_rate=0.01)
    if written != "and a log":
        (run_dir / "log.jsonl").write_text(log)
    if written in ("nothing", "the change"):
        (run_dir / train_options.RECORD).write_text(before)
    if written == "nothing":
        (run_dir / schedule_changes.FILE).unlink()
    resume(run_dir, 5)
    new = 0.001 if written == "nothing" else 0.01
    assert learning_rates_of(run_dir) == [0.001] * 3 + [new] * 2
    assert train_options.read_record(run_dir).recipe.learning_rate == new
    if written == "nothing":
        assert runs.log_of(run_dir, "change") == []
    else:
        assert changes_of(run_dir) == [(3, "learning_rate", "0.001", "0.01")]


@pytest.mark.parametrize("rate", [0.001, 0.01, 0.02])
def test_of_two_changes_at_a_step_the_last_one_is_recorded(begin, monkeypatch, rate):
    run_dir = begin("run", 3)
    kill_before_a_step(run_dir, monkeypatch, learning_rate=0.01)
    resume(run_dir, 5, learning_rate=rate)
    assert learning_rates_of(run_dir) == [0.001] * 3 + [rate] * 2
    if rate == 0.001:  # no step was computed with another one
        assert not (run_dir / schedule_changes.FILE).exists()
        assert runs.log_of(run_dir, "change") == []
    else:
        assert changes_of(run_dir) == [(3, "learning_rate", "0.001", str(rate))]


def break_newest_checkpoint(run_dir):
    prefix = checkpoint_files.newest_checkpoint(run_dir / "checkpoints")
    (data,) = (p for p in checkpoint_files.files_of(prefix) if ".data" in p.name)
    data.write_bytes(data.read_bytes()[:100])


def test_a_run_that_falls_back_changes_again_at_the_same_step(begin, monkeypatch):
    run_dir, whole = begin("run", 3), begin("whole", 3)
    resume(whole, 5, learning_rate=0.01)
    kill_before_a_step(run_dir, monkeypatch, learning_rate=0.01)
    break_newest_checkpoint(run_dir)
    resume(run_dir, 5)
    assert runs.same_weights(whole, run_dir)
    assert changes_of(run_dir) == [(3, "learning_rate", "0.001", "0.01")]
    assert learning_rates_of(run_dir) == [0.001] * 3 + [0.01] * 2


def test_a_change_before_another_one_takes_its_place(begin, monkeypatch):
    run_dir = begin("run", 3)
    kill_before_a_step(run_dir, monkeypatch, learning_rate=0.01)
    break_newest_checkpoint(run_dir)
    resume(run_dir, 5, learning_rate=0.02)
    assert changes_of(run_dir) == [(2, "learning_rate", "0.001", "0.02")]
    assert learning_rates_of(run_dir) == [0.001] * 2 + [0.02] * 3


def test_a_validation_that_was_prevented_belongs_to_the_schedule_before_it(begin):
    """So that a run is the same whether a signal came before or after a validation."""
    run_dir, prevented = (
        begin(name, 3, schedule="plateau") for name in ("run", "prevented")
    )
    run = runs.resume(prevented, errors=ERRORS, max_steps=3)
    run.schedule._waited -= 1  # as before that validation
    run.state.validation_due = True
    run.save()
    for folder in (run_dir, prevented):
        resume(folder, 7, learning_rate=0.01)
    assert runs.same_weights(run_dir, prevented)
    assert learning_rates_of(run_dir) == learning_rates_of(prevented)


def test_a_change_is_one_line_with_the_learning_rate_that_follows(begin, capsys):
    run_dir = begin("run", 3, drop_epochs=(1.0,))
    capsys.readouterr()
    resume(run_dir, 4, learning_rate=0.02)
    (line,) = [x for x in capsys.readouterr().err.splitlines() if "is now" in x]
    assert line == (
        "step 3: --learning_rate=0.001 is now --learning_rate=0.02; the learning rate "
        "was 0.0001 and is 0.002"
    )
    resume(run_dir, 5)
    assert "is now" not in capsys.readouterr().err


def test_a_change_is_logged_although_no_step_is_left(begin):
    run_dir = begin("run", 3)
    resume(run_dir, 3, learning_rate=0.02)
    assert changes_of(run_dir) == [(3, "learning_rate", "0.001", "0.02")]
    resume(run_dir, 4)
    assert changes_of(run_dir) == [(3, "learning_rate", "0.001", "0.02")]
    assert learning_rates_of(run_dir) == [0.001] * 3 + [0.02]


def test_changes_that_are_missing_are_not_undone_in_silence(begin):
    run_dir = begin("run", 2)
    resume(run_dir, 4, learning_rate=0.01)
    (run_dir / schedule_changes.FILE).unlink()
    with pytest.raises(
        checkpoint_files.CheckpointError,
        match=r"was changed 1 times before step 4, and changes\.jsonl there has 0 .*"
        "restore that file",
    ):
        resume(run_dir, 5)


def test_a_new_run_has_no_changes_of_a_run_that_was_removed(begin, small_dataset):
    run_dir = begin("run", 2)
    resume(run_dir, 3, learning_rate=0.01)
    shutil.rmtree(run_dir / "checkpoints")
    (run_dir / train_options.RECORD).unlink()
    begin_anew(small_dataset, run_dir, 2)
    assert not (run_dir / schedule_changes.FILE).exists()
    assert learning_rates_of(run_dir) == [0.001] * 2


ADJUSTABLE = {
    *("learning_rate", "bias_learning_rate_factor", "learning_rate_scaling"),
    *("reference_batch_size", "schedule", "drop_epochs", "bias_drop_epochs"),
    *("conv1_drop_epoch", "conv1_freeze_epoch", "plateau_drops"),
}


def other_value(field, value):
    """A value of an option that differs from `value`."""
    if kinds := options.choices(field):
        return next(kind for kind in kinds if kind != value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, tuple):
        return (*value, 7.0) if value or "epoch" in field.name else ("conv1",)
    if value is None:
        kind = typing.get_args(field.type)[0]
        return (0.25,) if typing.get_origin(kind) is tuple else kind(0.25)
    if isinstance(value, str):
        return "cifar10_13pct" if field.name == "architecture" else f"{value}:2"
    return 2.0 if value == math.inf else value / 2 if 0 < value < 1 else value + 1


@pytest.mark.parametrize(
    "name", list(options.values_of(train_options.TrainOptions(), changeable=False))
)
def test_what_defines_a_run_does_not_change_but_for_the_schedule(
    small_dataset, tmp_path, name
):
    chosen = runs.tiny_options_of(small_dataset, tmp_path, resume=True)
    options.write(tmp_path / train_options.RECORD, chosen)
    (field,) = (f for _, f in options.fields_of(type(chosen)) if f.name == name)
    changed = other_value(field, options.values_of(chosen)[name])
    given = options.replace(chosen, **{name: changed})
    if name in ADJUSTABLE - {"reference_batch_size", "plateau_drops"}:
        run_folder.check_options(given)
    elif name in ADJUSTABLE:
        with pytest.raises(ValueError, match=f"does not read --{name}="):
            run_folder.check_options(given)
    else:
        with pytest.raises(
            ValueError, match=rf"was started with .*--{name}.*, and now"
        ):
            run_folder.check_options(given)


def test_the_adjustable_options_are_those_of_the_schedule():
    assert set(options.adjustable(train_options.TrainOptions)) == ADJUSTABLE
