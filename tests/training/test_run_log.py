"""The log of a resumed run holds complete lines, and each step only once."""

import tensorflow as tf

from alexnet_tf.training import run_log, schedule_changes
from tests.support import runs


def test_a_half_written_log_line_is_dropped(tmp_path):
    (tmp_path / "log.jsonl").write_text(
        '{"kind": "train", "step": 1}\n{"kind": "train", "step": 5}\n{"kind": "tr'
    )
    run_log.Log(tmp_path, 3).write("train", 4, loss=1.0)
    assert [r["step"] for r in runs.log_of(tmp_path)] == [1, 4]


def test_the_lines_of_the_restored_step_are_kept(tmp_path):
    lines = [f'{{"kind": "train", "step": {step}}}\n' for step in (1, 2, 3)]
    (tmp_path / "log.jsonl").write_text("".join(lines))
    run_log.Log(tmp_path, 2)
    assert [r["step"] for r in runs.log_of(tmp_path)] == [1, 2]


def test_a_change_of_the_schedule_is_a_line_and_a_text_in_tensorboard(tmp_path):
    change = schedule_changes.Change(3, "drop_epochs", None, "1.0,2.0")
    run_log.Log(tmp_path, 3).write_change(change)
    (record,) = runs.log_of(tmp_path, "change")
    assert record == {
        **{"kind": "change", "step": 3},
        **{"option": "drop_epochs", "old": None, "new": "1.0,2.0"},
    }
    (events,) = map(str, (tmp_path / "train").iterdir())
    texts = [
        (event.step, value.tag, value.tensor.string_val[0].decode())
        for event in tf.compat.v1.train.summary_iterator(events)
        for value in event.summary.value
    ]
    assert texts == [(3, "changes", "no --drop_epochs is now --drop_epochs=1.0,2.0")]


def test_changes_at_the_restored_step_are_dropped_since_the_run_writes_them(tmp_path):
    for step in (2, 3, 4):
        log = run_log.Log(tmp_path, step)
        log.write_change(schedule_changes.Change(step, "learning_rate", "1", "2"))
        log.write("train", step, loss=1.0)
    run_log.Log(tmp_path, 3)
    assert [r["step"] for r in runs.log_of(tmp_path, "change")] == [2]
    assert [r["step"] for r in runs.log_of(tmp_path)] == [2, 3]


def test_a_line_has_the_means_of_the_steps_since_the_line_before():
    window = run_log.Window(batch_size=8)
    for steps in ([(4.0, 100.0), (2.0, 50.0), (0.0, 0.0)], [(1.0, 20.0)]):
        for loss, error in steps:
            window.add(tf.constant([loss, error, 0.0]))
        assert len(window) == len(steps)
        means = window.close()
        assert (means["loss"], means["top1_error"]) == (
            sum(loss for loss, _ in steps) / len(steps),
            sum(error for _, error in steps) / len(steps),
        )
    assert len(window) == 0


def test_what_is_apart_does_not_count_in_the_speed(monkeypatch):
    clock = iter([0.0, 1.0, 5.0, 6.0, 6.0])  # opened; apart from 1 to 5; closed; opened
    monkeypatch.setattr(run_log.time, "monotonic", lambda: next(clock))
    window = run_log.Window(batch_size=8)
    for _ in range(3):
        window.add(tf.zeros(3))
    with window.apart():
        pass
    assert window.close()["images_per_s"] == 12
