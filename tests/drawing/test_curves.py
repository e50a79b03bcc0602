"""The figure of errors and losses."""

import dataclasses
import json

import numpy as np
import pytest
from matplotlib import lines

from alexnet_tf.drawing import curves, figure
from alexnet_tf.training import learning_curves


def rates_at(passes, changes):
    """The learning rate of every point, of changes (passes, before, after)."""
    found = np.full(len(passes), changes[0][1] if changes else 0.01)
    for at, _, after in changes:
        found[passes >= at] = after
    return found


def run_of(name="RUN", points=90, rates=(), changes=(), validations=3, seed=0):
    rng = np.random.default_rng(seed)
    passes = np.arange(1, points + 1) / 30
    errors = 90 * np.exp(-passes) + rng.uniform(0, 4, points)
    measured = np.arange(1, validations + 1, dtype=float)
    return learning_curves.LearningCurves(
        name,
        learning_curves.Curve(passes, errors, errors / 30),
        learning_curves.Curve(measured, 60 / measured, 2 / measured, 9 / measured),
        rates_at(passes, rates),
        tuple(learning_curves.RateChange(*rate) for rate in rates),
        tuple(changes),
    )


def drawn_lines(found):
    """The points of every line of each chart: [xs, ys] of errors, losses and rates."""
    return [
        [np.transpose(line.get_xydata()) for line in axes.lines]
        for axes in found.picture.axes
    ]


def has_line(drawn, xs, ys):
    return any(
        line.shape == (2, len(xs)) and np.allclose(line, [xs, ys]) for line in drawn
    )


def test_training_and_validation_are_drawn_as_the_log_has_them():
    run = run_of()
    errors, losses, rates = drawn_lines(curves.draw([run]))
    assert has_line(rates, run.training.passes, run.learning_rates)
    for drawn, name in ((errors, "top1_error"), (losses, "loss")):
        for curve in (run.training, run.validation):
            assert has_line(drawn, curve.passes, getattr(curve, name))
    assert has_line(errors, run.validation.passes, run.validation.top5_error)


def test_every_run_has_a_line_and_a_name():
    runs = [run_of(f"_run{n}", seed=n) for n in range(9)]  # more than colors
    found = curves.draw(runs)
    errors, *_ = drawn_lines(found)
    for run in runs:
        assert has_line(errors, run.training.passes, run.training.top1_error)
    (legend,) = found.picture.legends
    assert len(legend.get_texts()) == 18
    looks = {
        (line.get_color(), line.get_linestyle())
        for line in legend.get_lines()
        if isinstance(line, lines.Line2D)
    }
    assert len(looks) == 9
    figure.canvas.png(found.picture, "t", "d")  # without a warning on the names


def test_changes_of_the_learning_rate_are_marked_where_they_were():
    run = run_of(
        rates=[(1.5, 0.01, 0.001), (2.5, 0.001, 1e-4)], changes=[(2.0, "x is y")]
    )
    found = curves.draw([run])
    for drawn in drawn_lines(found):
        upright = [xs[0] for xs, _ in drawn if len(xs) == 2 and xs[0] == xs[1]]
        assert upright == [1.5, 2.5, 2.0]
    assert (
        "The learning rate goes from 0.01 to 0.001 at 1.50 passes." in found.alternative
    )
    assert "RUN, after 2.00 passes: x is y" in found.text
    assert "changed by hand" in found.caption
    assert "changed by hand" not in curves.draw([run_of()]).caption


def test_smoothing_is_a_mean_around_each_point():
    assert curves.smooth(np.array([1.0, 2.0, 6.0]), 1).tolist() == [1, 2, 6]
    assert curves.smooth(np.array([1.0, 2.0, 6.0, 7.0]), 3).tolist() == [1.5, 3, 5, 6.5]


def test_a_run_without_a_top5_error_has_neither_its_line_nor_its_column():
    validated = dataclasses.replace(run_of().validation, top5_error=None)
    run = dataclasses.replace(run_of(), validation=validated)
    found = curves.draw([run])
    assert "top-5" not in found.text
    labels = [text.get_text() for text in found.picture.legends[0].get_texts()]
    assert all("top-5" not in label for label in labels)
    *_, line = found.text.splitlines()
    assert line.split()[3:] == ["20.00", "20.00", "3.00"]
    # Beside a run that has one, its cell is empty.
    *_, line, other = curves.draw([run, run_of("OTHER")]).text.splitlines()
    assert line.split()[3:] == ["20.00", "20.00", "3.00"]
    assert other.split()[3:] == ["20.00", "3.00", "20.00", "3.00"]


def test_the_table_has_the_last_and_the_best_validation():
    run = run_of()
    worse = learning_curves.Curve(
        np.array([1.0, 2.0, 3.0]), np.array([9.0, 4.5, 6.25]), np.ones(3), np.ones(3)
    )
    run = dataclasses.replace(run, validation=worse)
    found = curves.draw([run])
    *_, line = found.text.splitlines()
    assert line.split()[0] == "RUN"
    assert line.split()[3:] == ["6.25", "1.00", "4.50", "2.00"]
    assert (
        "is least with 4.50 % at 2.00 passes, and ends with 6.25 %" in found.alternative
    )


@pytest.mark.parametrize("points", [1, 90])
def test_a_run_without_validations_is_drawn(points):
    found = curves.draw([run_of(points=points, validations=0)])
    assert "RUN" in found.text
    assert found.encoded().startswith(b"\x89PNG")


def test_the_data_are_json_also_if_a_loss_is_not_a_number(tmp_path):
    run = run_of(rates=[(1.5, 0.01, 0.001)])
    run.validation.loss[1] = np.nan
    _, data, _ = figure.write(curves.draw([run]), tmp_path)

    def refuse(constant):
        raise AssertionError(f"{constant} is not JSON")

    (found,) = json.loads(data.read_text(), parse_constant=refuse)["runs"]
    assert found["validation"]["loss"] == [2.0, None, 2 / 3]
    assert found["training"]["top1_error"] == run.training.top1_error.tolist()
    assert found["rate_changes"] == [{"passes": 1.5, "before": 0.01, "after": 0.001}]


@pytest.mark.parametrize("count", [1, 3, 9])
def test_the_legend_is_above_the_charts(count):
    runs = [
        run_of(f"run {n} of a name that is long " * 3, seed=n) for n in range(count)
    ]
    found = curves.draw(runs)
    found.encoded()  # which lays it out
    (legend,) = found.picture.legends
    box = legend.get_window_extent()
    assert box.y0 >= max(axes.get_window_extent().y1 for axes in found.picture.axes)
    assert box.x1 <= found.picture.bbox.x1


def test_the_split_is_named_that_was_measured():
    tested = dataclasses.replace(run_of(), split="test")
    found = curves.draw([tested])
    for text in (found.caption, found.alternative, found.text):
        assert "test" in text
        assert "validation" not in text
    labels = [text.get_text() for text in found.picture.legends[0].get_texts()]
    assert [label.strip() for label in labels] == [
        *("top-1, training", "top-1, test", "top-5, test"),
    ]
    assert found.data["runs"][0]["split"] == "test"
    both = curves.draw([tested, run_of("other")])
    assert "the test split or validation split" in both.caption


def test_a_run_without_validations_has_none_in_its_legend_and_caption():
    found = curves.draw([run_of(validations=0)])
    assert "Nothing was validated" in found.caption
    handles = found.picture.legends[0].legend_handles
    assert [handle.get_visible() for handle in handles] == [True, False]


@pytest.mark.parametrize("rates", [[0.0, 0.0], [0.01, 0.0], [0.003, 0.003]])
def test_any_learning_rates_are_drawn(rates):
    run = dataclasses.replace(run_of(points=2), learning_rates=np.array(rates))
    found = curves.draw([run])
    assert found.encoded()
    ticks = [label.get_text() for label in found.picture.axes[2].get_yticklabels()]
    assert max(rates) == 0 or f"{max(rates):g}" in ticks
