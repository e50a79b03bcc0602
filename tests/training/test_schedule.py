"""Learning rates drop at the 2012 program's epochs, or when validation stalls."""

import json

import pytest

from alexnet_tf.training import schedule

# The 2012 program's run on ILSVRC-2010: layer-params-145-2010.cfg.
CUDA_CONVNET = schedule.Epochs(
    0.01,
    drops=(23, 51, 78),
    bias_factor=2,
    bias_drops=(23,),
    conv1_drop=68,
    conv1_freeze=72,
)


def learning_rate_of(plan, epoch, path):
    return plan.learning_rates(epoch).of(path)


@pytest.mark.parametrize(
    ("epoch", "weights", "biases", "conv1"),
    [
        (0, 1e-2, 0.02, 1e-2),
        (22.999, 1e-2, 0.02, 1e-2),
        (23, 1e-3, 0.002, 1e-3),
        (50.999, 1e-3, 0.002, 1e-3),
        (51, 1e-4, 0.002, 1e-4),
        (67.999, 1e-4, 0.002, 1e-4),
        (68, 1e-4, 0.002, 1e-5),
        (71.999, 1e-4, 0.002, 1e-5),
        (72, 1e-4, 0.002, 0),
        (78, 1e-5, 0.002, 0),
        (92.999, 1e-5, 0.002, 0),
    ],
)
def test_learning_rates_of_the_2012_program_by_epoch(epoch, weights, biases, conv1):
    assert learning_rate_of(CUDA_CONVNET, epoch, "fc8/kernel") == pytest.approx(weights)
    assert learning_rate_of(CUDA_CONVNET, epoch, "fc8/bias") == pytest.approx(biases)
    assert learning_rate_of(
        CUDA_CONVNET, epoch, "conv1_tower1/kernel"
    ) == pytest.approx(conv1)
    expected = biases * conv1 / weights
    assert learning_rate_of(CUDA_CONVNET, epoch, "conv1_tower1/bias") == pytest.approx(
        expected
    )


def test_biases_without_their_own_drops_drop_with_the_weights():
    plan = schedule.Epochs(0.01, drops=(2, 4), bias_factor=2)
    for epoch, learning_rate in ((1.9, 0.01), (2, 0.001), (4, 0.0001)):
        assert plan.learning_rates(epoch) == pytest.approx(
            (learning_rate, 2 * learning_rate, 1)
        )


def test_without_drops_the_learning_rate_is_constant():
    assert schedule.Epochs(0.01).learning_rates(1000) == (0.01, 0.01, 1)


def test_the_order_of_the_drops_does_not_matter():
    plan = schedule.Epochs(1.0, drops=(51, 23))
    assert plan.learning_rates(30).weights == pytest.approx(0.1)


def test_fixed_epochs_ignore_validation_errors():
    plan = schedule.Epochs(0.01, drops=(1,))
    assert not any(plan.observe(error) for error in (50, 50, 50, 50, 90))
    plan.restore(plan.state())
    assert plan.learning_rates(0).weights == 0.01


def test_the_learning_rate_drops_after_patience_validations_without_a_gain():
    plan = schedule.Plateau(0.01, patience=2, gain=0.5)
    dropped = [plan.observe(error) for error in (60, 50, 49.6, 49.5, 49.5, 49.2, 49.1)]
    # 49.6 improves on 50 by less than 0.5. 49.5 does not, and becomes the best error.
    assert dropped == [False, False, False, False, False, True, False]
    assert plan.learning_rates(0).weights == pytest.approx(0.001)


def test_patience_restarts_after_a_drop():
    plan = schedule.Plateau(0.01, patience=2)
    dropped = [plan.observe(40) for _ in range(6)]
    assert dropped == [False, False, True, False, True, False]


def test_patience_restarts_after_a_gain():
    plan = schedule.Plateau(0.01, patience=2, gain=1)
    dropped = [plan.observe(error) for error in (40, 40, 39, 39, 38, 38, 38)]
    assert dropped == [False] * 6 + [True]


def test_there_are_at_most_three_drops():
    plan = schedule.Plateau(0.01, patience=1)
    dropped = [plan.observe(40) for _ in range(6)]
    assert dropped == [False, True, True, True, False, False]
    assert plan.learning_rates(0).weights == pytest.approx(1e-5)


def test_biases_drop_with_the_plateau_and_keep_their_factor():
    plan = schedule.Plateau(0.01, patience=1, bias_factor=2)
    plan.observe(40)
    plan.observe(40)
    assert plan.learning_rates(7) == pytest.approx((0.001, 0.002, 1))


ERRORS = (60, 50, 50.1, 50.1, 50.1, 45, 45, 45, 45, 44, 44, 44, 44, 44, 44)


@pytest.mark.parametrize("stop", range(len(ERRORS)))
def test_a_restored_plateau_continues_as_if_never_interrupted(stop):
    whole = schedule.Plateau(0.01, patience=2)
    expected = [(whole.observe(error), whole.learning_rates(0)) for error in ERRORS]

    plan, found = schedule.Plateau(0.01, patience=2), []
    for error in ERRORS[:stop]:
        found.append((plan.observe(error), plan.learning_rates(0)))
    saved = json.dumps(plan.state())
    plan = schedule.Plateau(0.01, patience=2)
    plan.restore(json.loads(saved))
    for error in ERRORS[stop:]:
        found.append((plan.observe(error), plan.learning_rates(0)))
    assert found == expected


def test_a_plateau_that_takes_over_keeps_best_error_and_drops_and_waits_anew():
    before = schedule.Plateau(0.01, patience=2)
    for error in (40, 50, 50, 50):  # a drop, and one more without improvement
        before.observe(error)
    plan = schedule.Plateau(0.5, patience=2)
    plan.take_over(before)
    assert plan.learning_rates(0).weights == pytest.approx(0.05)
    assert [plan.observe(error) for error in (50, 50)] == [False, True]
    assert [plan.observe(error) for error in (50, 39, 50)] == [False] * 3


def test_a_plateau_that_takes_over_from_epochs_begins_without_drops():
    plan = schedule.Plateau(0.01, patience=1)
    plan.take_over(schedule.Epochs(0.02, drops=(1,)))
    assert [plan.observe(error) for error in (70, 70)] == [False, True]
    assert plan.learning_rates(2).weights == pytest.approx(0.001)


def test_fewer_drops_than_there_were_leave_them_and_allow_no_more():
    before = schedule.Plateau(0.01, patience=1)
    for _ in range(3):
        before.observe(40)
    plan = schedule.Plateau(0.01, patience=1, most_drops=1)
    plan.take_over(before)
    assert [plan.observe(40) for _ in range(3)] == [False] * 3
    assert plan.learning_rates(0).weights == pytest.approx(0.0001)


def test_epochs_that_take_over_count_from_the_beginning_of_the_run():
    plan = schedule.Epochs(0.5, drops=(1, 3))
    before = schedule.Plateau(0.01, patience=1)
    before.observe(40)
    before.observe(40)
    plan.take_over(before)
    assert plan.learning_rates(2).weights == pytest.approx(0.05)


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("conv1/kernel", 0.5),
        ("conv1_tower0/kernel", 0.5),
        ("conv1_tower0/bias", 1.0),
        ("conv2_tower1/kernel", 1.0),
        ("conv2_tower1/bias", 2.0),
        ("fc8/kernel", 1.0),
        ("local3/bias", 2.0),
    ],
)
def test_learning_rates_depend_on_the_variables_path(path, expected):
    assert schedule.LearningRates(1.0, 2.0, 0.5).of(path) == expected


def test_a_learning_rate_is_scaled_by_the_batch_or_its_square_root():
    assert schedule.scaled_learning_rate(0.01, "none", 4.0) == 0.01
    assert schedule.scaled_learning_rate(0.01, "linear", 4.0) == pytest.approx(0.04)
    assert schedule.scaled_learning_rate(0.01, "sqrt", 4.0) == pytest.approx(0.02)
