"""How costs grow: the measurement continues, and docs/scaling.md shows what was measured."""

import json

import pytest

from tests.support import ROOT, benchmarks

scaling = benchmarks.command("scaling")
scaling_points = benchmarks.module("scaling_points")
scaling_report = benchmarks.module("scaling_report")

DOCUMENT = (ROOT / "docs/scaling.md").read_text()


@pytest.mark.parametrize(
    ("points", "power"),
    [
        ({1: 3.0, 10: 30.0, 100: 300.0}, 1),
        ({2: 8.0, 4: 64.0, 8: 512.0}, 3),
        ({1: 5.0, 7: 5.0}, 0),
        ({1: 1.0, 10: 10.0, 100: 1000.0}, 1.5),  # of both halves, the mean
    ],
)
def test_the_exponent_is_the_slope_of_the_logarithms(points, power):
    assert scaling_report.exponent(points) == pytest.approx(power, abs=1e-9)


def test_the_last_exponent_belongs_to_the_two_largest_points():
    points = {100: 1000.0, 1: 1.0, 10: 10.0}
    assert scaling_report.last_exponent(points) == pytest.approx(2)


@pytest.mark.parametrize("part", scaling_report.PARTS)
def test_the_document_shows_the_measured_numbers_and_their_chart(part):
    report = scaling_report.read(part)
    assert scaling_report.table(part, report) in DOCUMENT
    assert f"(results/scaling-{part}.png)" in DOCUMENT


def test_a_table_has_every_series_and_leaves_unmeasured_places_empty():
    found = {
        "series": {
            "1 core": {"1": {"seconds": 1.0, "memory_mib": 10}},
            "2 cores": {
                "1": {"seconds": 0.5, "memory_mib": 20},
                "8": {"seconds": 4.0, "memory_mib": 20},
            },
        }
    }
    found["series"]["1 core"]["4"] = {"seconds": 4.0, "memory_mib": 10}
    lines = scaling_report.table("train", found).splitlines()
    assert lines[2] == "| 1 | 1.000 | 0.500 | 10 | 20 |"
    assert lines[3] == "| 4 | 4.000 |  | 10 |  |"
    assert lines[4] == "| 8 |  | 4.000 |  | 20 |"
    assert lines[5] == "| exponent | 1.00 | 1.00 | 0.00 | 0.00 |"


def test_a_measurement_that_was_interrupted_continues_with_the_missing_points(
    tmp_path, monkeypatch
):
    made = []

    def measured(point):
        if len(made) == 3:
            raise KeyboardInterrupt
        made.append(point)
        return {"seconds": float(len(made)), "memory_mib": 1.0}

    monkeypatch.setattr(scaling, "measured", measured)
    path = tmp_path / "scaling-resume.json"
    with pytest.raises(KeyboardInterrupt):
        scaling.measure_part("resume", path)
    assert list(json.loads(path.read_text())["series"]["raw records"]) == [
        "10000",
        "40000",
        "160000",
    ]
    monkeypatch.setattr(scaling, "measured", lambda point: {"seconds": 9.0})
    scaling.measure_part("resume", path)
    points = json.loads(path.read_text())["series"]["raw records"]
    assert [each["seconds"] for each in points.values()] == [1, 2, 3, 9, 9]
    scaling.measure_part("resume", path, again=True)
    points = json.loads(path.read_text())["series"]["raw records"]
    assert [each["seconds"] for each in points.values()] == [9] * 5


def test_the_memory_of_a_command_counts_its_workers(capfd):
    found = scaling_points.prepare_tiny(images=600, workers=2)
    assert found["parent_mib"] > 10
    assert found["worker_mib"] > 10
    assert found["memory_mib"] > found["parent_mib"] + found["worker_mib"]


def test_a_checkpoint_holds_a_weight_and_its_velocity_and_an_export_the_weight():
    checkpoint, export = scaling_points.checkpoint(8), scaling_points.export(8)
    assert checkpoint["parameters"] == export["parameters"]
    assert checkpoint["mb"] == pytest.approx(8e-6 * checkpoint["parameters"], rel=0.02)
    assert 4e-6 * export["parameters"] < export["mb"] < checkpoint["mb"]


def test_a_command_that_fails_is_no_measurement(monkeypatch):
    with pytest.raises(SystemExit, match="prepare exited with 1: .*no such folder"):
        scaling_points._command("prepare", "--source=folder:/no/such", "--output=x")
