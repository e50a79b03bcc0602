"""What `train` would refuse is found before the first training begins."""

import pytest

from alexnet_tf.studies import trial


def test_lengths_and_refusals_come_in_the_order_of_the_trainings(
    small_dataset, tmp_path, capfd
):
    common = [f"--dataset={small_dataset.path}", "--architecture=cifar10_11pct"]
    common += ["--batch_size=8", "--precision=float32", f"--run_dir={tmp_path}/run"]
    found = trial.lengths_of(
        [
            [*common, "--epochs=2", "--drop_epochs="],
            [*common, "--freeze=conv9"],
            [*common, "--max_steps=7"],
            [*common, f"--dataset={tmp_path}"],
        ],
        evaluated=True,
    )
    steps = small_dataset.counts["train"] // 8
    assert found[0] == trial.Length(2 * steps, steps)
    assert "has no layer 'conv9'" in found[1]
    assert found[2] == trial.Length(7, steps)
    assert "is not a prepared dataset" in found[3]
    assert not (tmp_path / "run").exists()
    assert capfd.readouterr().err == ""  # CUDA, too, prints nothing where no GPU is


def test_a_trial_that_ends_early_is_an_error(monkeypatch):
    monkeypatch.setattr(trial.sys, "executable", "/bin/false")
    with pytest.raises(RuntimeError, match="could not be put together"):
        trial.lengths_of([[]], evaluated=False)
