"""What the runs of a study say about its settings, against numbers worked by hand."""

import json
import statistics

import hypothesis
import pytest
from hypothesis import strategies as st

from alexnet_tf.studies import plan as plans
from alexnet_tf.studies import results
from alexnet_tf.studies.trial import Length

LENGTH = Length(last_step=200, steps_per_epoch=100)


def result(values, seed, error, train=((10, 2.0, 50.0),)):
    """The result of a run whose ten-crop error is `error`."""
    return {
        **{"name": "x", "values": values, "seed": seed, "training_s": 10.0 + seed},
        **{"last_step": 200, "steps_per_epoch": 100, "train": [list(t) for t in train]},
        **{"split": "test", "center_crop": {"top1_error": error + 1}},
        "ten_crop": {"top1_error": error},
    }


def two_nets():
    a, b = {"net": "a"}, {"net": "b"}
    return [
        *(result(a, 0, 10.0), result(b, 0, 12.0)),
        *(result(a, 1, 20.0), result(b, 1, 21.0)),
        *(result(a, 2, 12.0), result(b, 2, 12.5)),
    ]


def test_means_and_deviations_are_those_of_the_seeds():
    first, second = results.settings_of(two_nets())
    spread = first.spreads["ten_crop"]
    assert spread.mean == pytest.approx(14)
    assert spread.deviation == pytest.approx((28) ** 0.5)  # (16 + 36 + 4) / 2
    assert second.spreads["center_crop"].mean == pytest.approx(1 + 45.5 / 3)
    assert first.training_s == pytest.approx(11)


def test_settings_are_compared_seed_by_seed():
    first, second = results.settings_of(two_nets())
    assert not first.differences
    difference = second.differences["ten_crop"]
    assert difference.by_seed == {0: 2.0, 1: 1.0, 2: 0.5}
    # The seeds differ by much more than the nets, and the paired differences do not.
    assert difference.deviation < 1 < second.spreads["ten_crop"].deviation
    header, rows = results.table_of([first, second])
    assert dict(zip(header, rows[1], strict=True)) | {"training, s": ""} == {
        **{"net": "b", "seeds": "3", "training top-1 error, %": "50.00 ± 0.00"},
        **{"center crop, test top-1 %": "16.17 ± 5.06", "training, s": ""},
        **{"ten crops, test top-1 %": "15.17 ± 5.06", "difference": "+1.17 ± 0.76"},
        **{"lower in": "0 of 3"},
    }


def test_only_seeds_that_both_settings_have_are_compared():
    _, second = results.settings_of(two_nets()[:4] + two_nets()[5:])
    assert second.differences["ten_crop"].by_seed == {0: 2.0, 1: 1.0}
    assert set(second.spreads["ten_crop"].by_seed) == {0, 1, 2}


def test_one_seed_has_no_deviation():
    spread = results.Spread({0: 3.0})
    assert spread.deviation is None
    assert spread.text() == "3.00"


@hypothesis.given(st.dictionaries(st.integers(0, 9), st.floats(0, 100), min_size=2))
def test_a_setting_does_not_differ_from_itself(by_seed):
    spread = results.Spread(by_seed)
    assert set(spread.minus(spread).by_seed.values()) == {0.0}
    assert spread.mean == pytest.approx(statistics.fmean(by_seed.values()))


def test_passes_are_those_until_the_mean_of_a_tenth_of_a_pass_is_low_enough():
    # A tenth of a pass is ten steps, which are two records each.
    train = [[5, 1, 80.0], [10, 1, 20.0], [15, 1, 60.0], [20, 1, 50.0]]
    train += [[25, 1, 30.0], [30, 1, 10.0]]
    assert results.passes_to(train, LENGTH, 40.0) == 0.15
    assert results.passes_to(train, LENGTH, 35.0) == 0.3
    assert results.passes_to(train, LENGTH, 19.0) is None


def test_a_seed_that_never_comes_so_far_is_counted():
    low = ((10, 2.0, 5.0),)
    found = results.settings_of(
        [result({"a": "1"}, 0, 1.0, low), result({"a": "1"}, 1, 1.0)], reach=10.0
    )
    spread = found[0].spreads["passes"]
    assert spread.by_seed == {0: 0.1, 1: None}
    assert (spread.mean, spread.deviation) == (None, None)
    assert spread.text() == "never in 1 of 2"
    assert results.main_measure(found) == "passes"


def test_the_best_value_of_a_grid_is_found_for_each_of_the_others():
    errors = {("a", "1"): 9, ("a", "2"): 5, ("b", "1"): 4, ("b", "2"): 8}
    found = results.settings_of(
        [result({"net": n, "rate": r}, 0, e) for (n, r), e in errors.items()]
    )
    best = results.best_settings(found, "rate")
    assert [tuple(s.values.values()) for s in best] == [("a", "2"), ("b", "1")]
    assert best[1].differences["ten_crop"].by_seed == {0: -1.0}
    assert not best[0].differences


def test_a_value_that_more_seeds_reach_is_better_than_a_faster_one():
    fast, slow = ((10, 1, 5.0),), ((10, 1, 50.0), (100, 1, 5.0))
    found = results.settings_of(
        [
            *(result({"r": "1"}, 0, 0, fast), result({"r": "1"}, 1, 0)),
            *(result({"r": "2"}, 0, 0, slow), result({"r": "2"}, 1, 0, slow)),
        ],
        reach=10.0,
    )
    (best,) = results.best_settings(found, "r")
    assert best.values == {"r": "2"}


def test_results_are_found_in_the_folders_of_the_runs(tmp_path):
    plan = plans.Plan(
        (), (plans.factor_of("architecture=paper,no_lrn"),), (0, 1), str(tmp_path)
    )
    for run in plan.runs()[:3]:
        folder = plan.run_dir(run)
        folder.mkdir(parents=True)
        log = [
            {"kind": "begin"},
            *(
                {"kind": "train", "step": s, "loss": 1.0, "top1_error": 9.0}
                | {"images_per_s": 100.0}
                for s in (10, 20)
            ),
        ]
        lines = "".join(json.dumps(r) + "\n" for r in log)
        (folder / "log.jsonl").write_text(lines + '{"kind": "tra')  # a power failure
        about = {"cores": "2", "processor": "P", "GPUs": ""}
        (folder / "environment.json").write_text(json.dumps(about))
        results.write_result(plan, run, LENGTH, batch_size=50)
    found = results.read_results(plan)
    assert [each["name"] for each in found] == [r.name for r in plan.runs()[:3]]
    assert found[0]["training_s"] == 10.0  # 20 steps of 50 images, 100 per second
    assert found[0]["machine"] == "2 cores of P"
    assert "ten_crop" not in found[0]


def test_a_damaged_result_is_named(tmp_path):
    plan = plans.Plan((), (), (0,), str(tmp_path))
    folder = plan.run_dir(plan.runs()[0])
    folder.mkdir()
    (folder / results.RESULT).write_text("{")
    with pytest.raises(ValueError, match=r"result.json is damaged .*: remove it"):
        results.read_results(plan)
