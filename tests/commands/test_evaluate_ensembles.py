"""`evaluate` of several nets: one table, the coefficients, and the files it writes."""

import csv
import dataclasses
import io
import json

import numpy as np
import pytest

from alexnet_tf import evaluate
from alexnet_tf.evaluation import measures
from alexnet_tf.models import zoo
from alexnet_tf.runtime import options
from tests.support import runs


@pytest.fixture(scope="module")
def two_runs(trained_run, tmp_path_factory):
    """A trained net, and an untrained one of another architecture and crop size."""
    large = dataclasses.replace(zoo.CIFAR10_13PCT.with_classes(3), input_size=28)
    other = tmp_path_factory.mktemp("other") / "large"
    return str(trained_run), str(runs.write_untrained(other, large, seed=2))


def run(capsys, *checkpoints, **changes):
    """What `evaluate` prints as JSON, or as it is if `format` is given."""
    chosen = {"format": "json", "precision": "float32"} | changes
    capsys.readouterr()
    evaluate.main(
        options.replace(evaluate.OPTIONS(), checkpoint=",".join(checkpoints), **chosen),
        [],
    )
    printed = capsys.readouterr().out
    return json.loads(printed) if chosen["format"] == "json" else printed


def test_single_nets_and_their_average_stand_in_one_table(
    two_runs, small_dataset, capsys, tmp_path
):
    single = run(capsys, two_runs[0])
    written = (tmp_path / two_runs[0] / "evaluation.json").read_text()
    both = run(capsys, *two_runs, output=str(tmp_path / "both.json"))
    # Single nets stand there as they are measured alone, and their files stay.
    for way in measures.METHODS:
        assert both["nets"][0][way] == single[way]
        for measure in measures.MEASURES:
            values = [net[way][measure] for net in both["nets"]]
            assert both["mean"][way][measure] == pytest.approx(np.mean(values))
    assert (tmp_path / two_runs[0] / "evaluation.json").read_text() == written
    assert not (tmp_path / two_runs[1] / "evaluation.json").exists()
    assert json.loads((tmp_path / "both.json").read_text()) == both
    assert [net["coefficient"] for net in both["nets"]] == [0.5, 0.5]
    assert [net["architecture"] for net in both["nets"]] == [
        *("cifar10_11pct", "cifar10_13pct"),
    ]
    assert both["weights_search"] is None
    assert both["images"] == 12

    lines = run(capsys, *two_runs, format="table").splitlines()
    assert lines[0] == f"validation split of {small_dataset.path}"
    assert len(lines) == 3 + 4
    errors = both["average"]
    shown = [f"{errors[w][m]:.2f}" for w in measures.METHODS for m in measures.shown(3)]
    assert lines[-1].split() == ["average", "of", "2", "nets", *shown]

    header, *rows = csv.reader(io.StringIO(run(capsys, *two_runs, format="csv")))
    assert header[:4] == ["net", "weight", "crops", "top1_error"]
    assert len(rows) == 2 * 4
    assert [row[1] for row in rows] == ["0.5"] * 4 + [""] * 4


def test_the_order_of_the_nets_does_not_change_the_average(two_runs, capsys):
    one, other = run(capsys, *two_runs), run(capsys, *two_runs[::-1])
    assert one["average"] == other["average"]
    assert one["nets"] == other["nets"][::-1]


def test_searched_weights_are_reported_with_their_split(
    two_runs, capsys, caplog, tmp_path
):
    found = run(capsys, *two_runs, weights_search=True, search_split="train")
    assert found["weights_search"] == {"split": "train", "method": "ten_crop"}
    assert "on the images that the nets were trained on" in caplog.text
    caplog.clear()
    table = run(capsys, *two_runs, weights_search=True, format="table")
    assert "also the one that is reported" in caplog.text
    assert table.splitlines()[-1] == (
        "The weights were searched on the validation split with ten crops."
    )
    # The trained net is right about these images and the other is not.
    found = run(capsys, *two_runs, weights_search=True)
    average, equal = found["average"], run(capsys, *two_runs)["average"]
    for measure in ("top5_error", "top1_error"):
        assert average["ten_crop"][measure] <= equal["ten_crop"][measure] + 1e-9
    assert sum(net["coefficient"] for net in found["nets"]) == pytest.approx(1)


def test_the_probabilities_of_the_file_give_the_printed_errors(
    two_runs, capsys, tmp_path
):
    both = run(capsys, *two_runs, predictions=str(tmp_path / "p.npz"))
    with np.load(tmp_path / "p.npz") as file:
        labels, names = file["labels"], file["names"]
        for way in measures.METHODS:
            for array, errors in (
                (file[way][0], both["nets"][0][way]),
                (file[way][1], both["nets"][1][way]),
                (file[f"{way}_average"], both["average"][way]),
            ):
                wrong = 100 * np.mean(array.argmax(axis=1) != labels)
                own = array[np.arange(12), labels]
                assert errors["top1_error"] == pytest.approx(wrong, abs=1e-3)
                assert errors["loss"] == pytest.approx(-np.log(own).mean(), rel=1e-4)
        assert json.loads(str(file["about"])) == both
    assert len(set(names.tolist())) == 12
    # The folder of an image is its class.
    assert all(
        f"class{label}" in name for label, name in zip(labels, names, strict=True)
    )


def test_a_single_net_has_files_too_and_its_results_keep_their_keys(
    two_runs, capsys, tmp_path
):
    plain = run(capsys, two_runs[0])
    assert list(plain) == [
        *("checkpoint", "step", "dataset", "split", "precision"),
        *("center_crop", "ten_crop", "images"),
    ]
    found = run(
        capsys,
        two_runs[0],
        predictions=str(tmp_path / "p.csv"),
        submission=str(tmp_path / "s.txt"),
    )
    assert found == plain
    rows = list(csv.DictReader(io.StringIO((tmp_path / "p.csv").read_text())))
    mean = [
        row for row in rows if (row["method"], row["net"]) == ("ten_crop", "average")
    ]
    best = [
        sorted(range(3), key=lambda label, row=row: -float(row[f"class{label}"]))
        for row in mean
    ]
    lines = (tmp_path / "s.txt").read_text().splitlines()
    assert lines == [" ".join(str(n + 1) for n in labels) for labels in best]


def test_a_path_with_a_comma_is_one_checkpoint(trained_run, capsys, tmp_path):
    (tmp_path / "a,b").symlink_to(trained_run)
    assert run(capsys, str(tmp_path / "a,b"))["images"] == 12


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "{0},"}, "--checkpoint=.*: the path is empty"),
        ({"checkpoint": "{0},{0}"}, "twice"),
        ({"checkpoint": "{0},gs://bucket/run"}, "gs:// is not supported"),
        ({"checkpoint": "{0}", "weights_search": True}, "--checkpoint names one"),
        ({"search_split": "train"}, "is for --weights_search"),
        ({"weights_search": True, "search_split": "test"}, "has no split 'test'"),
        ({"split": ""}, "has no split ''"),
        ({"devkit": "kit.tar.gz"}, "--devkit=kit.tar.gz is for a submission"),
        ({"predictions": "p.txt"}, r"must end in \.npz or \.csv"),
        ({"submission": "s.txt", "devkit": "kit.tar.gz"}, "is not one: leave --devkit"),
    ],
)
def test_bad_input_is_refused(
    two_runs, capsys, tmp_path, monkeypatch, changes, message
):
    monkeypatch.chdir(tmp_path)
    chosen = {"checkpoint": "{0},{1}"} | changes
    named = chosen.pop("checkpoint").format(*two_runs)
    with pytest.raises(ValueError, match=message):
        run(capsys, named, **chosen)
    assert list(tmp_path.iterdir()) == []


def test_a_missing_checkpoint_among_several_is_named(two_runs, capsys, tmp_path):
    with pytest.raises(OSError, match="no-such-run"):
        run(capsys, *two_runs, str(tmp_path / "no-such-run"))


def test_an_existing_file_is_refused_before_anything_is_computed(
    two_runs, capsys, tmp_path
):
    (tmp_path / "p.npz").write_text("kept")
    with pytest.raises(FileExistsError, match="choose another --predictions"):
        run(capsys, "no-such-run", predictions=str(tmp_path / "p.npz"))
    assert (tmp_path / "p.npz").read_text() == "kept"
