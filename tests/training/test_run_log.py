"""The log of a resumed run holds complete lines, and each step only once."""

from alexnet_tf.training import run_log
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
