"""A net can learn one batch by heart, which checks the whole pipeline."""

import pytest

from alexnet_tf import train
from alexnet_tf.runtime import options
from alexnet_tf.training import overfitting
from tests.support import runs

pytestmark = pytest.mark.usefixtures("random_without_seeds")


def test_one_batch_is_learned_and_nothing_is_written(small_dataset, tmp_path, capsys):
    settings = runs.train_options_of(
        small_dataset, tmp_path / "run", overfit_one_batch=True, learning_rate=0.01
    )
    settings = options.replace(settings, epochs=100.0, color_noise="none")
    train.main(settings, [])
    assert "the first batch is learned: " in capsys.readouterr().out
    assert not (tmp_path / "run").exists()


def test_a_batch_that_is_not_learned_is_an_error(small_dataset, tmp_path):
    settings = runs.train_options_of(
        small_dataset, tmp_path / "run", overfit_one_batch=True, learning_rate=0.0
    )
    with pytest.raises(overfitting.NotLearnedError, match="after 6 steps, expected 0"):
        overfitting.overfit_one_batch(runs.trainer_of(settings))
