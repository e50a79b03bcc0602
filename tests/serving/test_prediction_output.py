"""Files of predictions: what they hold, and that no interruption changes them."""

import csv
import json
import os
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

from alexnet_tf.data import image_decoding
from alexnet_tf.serving import classification, prediction_output
from alexnet_tf.serving import client as clients

SUFFIXES = prediction_output.SUFFIXES
ODD = os.fsdecode(b"caf\xe9\n.png")


def answer_of(file):
    """Each file has an answer of its own; every seventh cannot be read."""
    number = int(file.split(".")[0])
    if number % 7 == 3:
        return image_decoding.BadImageError(f"{file}: not a readable image (x)")
    names = ["cat", "dog, small", "b\u00e4r"]
    best = [names[(number + n) % 3] for n in range(3)]
    return clients.Scored(best, [0.5 + number / 1e4, 1 / 3, 1e-7])


def classifier(batch_size=4, answer=answer_of, **identity):
    return classification.Classifier(
        lambda files: ((file, answer(file)) for file in files),
        batch_size,
        lambda: {"model": "net", **identity},
    )


def write(path, files, made=None, **options):
    return classification.write_predictions(
        prediction_output.check_output(str(path)),
        files,
        made or classifier(),
        **({"top": 2} | options),
    )


FILES = [f"{number}.png" for number in range(30)]


def test_every_file_has_its_row_in_order_and_a_bad_one_the_reason(tmp_path):
    written = write(tmp_path / "p.jsonl", FILES)
    assert written == (str(tmp_path / "p.jsonl"), 30, 4)
    rows = [
        json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()
    ]
    assert [row["file"] for row in rows] == FILES
    assert rows[1] == {
        "file": "1.png", "classes": ["dog, small", "b\u00e4r"], "scores": [0.5001, 0.333333],
    }  # fmt: skip
    assert rows[3] == {"file": "3.png", "error": "not a readable image (x)"}


def test_a_csv_has_one_line_per_class_and_one_per_bad_file(tmp_path):
    write(tmp_path / "p.csv", FILES[:4])
    with (tmp_path / "p.csv").open(encoding="utf-8", newline="") as file:
        rows = list(csv.reader(file))
    assert rows[0] == ["file", "rank", "class", "score", "error"]
    assert rows[3:5] == [
        ["1.png", "1", "dog, small", "0.5001", ""],
        ["1.png", "2", "b\u00e4r", "0.333333", ""],
    ]
    assert rows[-1] == ["3.png", "", "", "", "not a readable image (x)"]
    assert len(rows) == 1 + 3 * 2 + 1


def test_an_npz_has_the_answers_as_arrays(tmp_path):
    write(tmp_path / "p.npz", FILES)
    with np.load(tmp_path / "p.npz") as found:
        assert found["names"].tolist() == FILES
        assert found["failed"].tolist() == [3, 10, 17, 24]
        assert found["errors"].tolist() == ["not a readable image (x)"] * 4
        assert found["classes"][found["labels"][1]].tolist() == [
            "dog, small",
            "b\u00e4r",
        ]
        assert found["scores"][1] == pytest.approx([0.5001, 0.333333])
        assert (found["labels"][3] == -1).all()
        assert np.isnan(found["scores"][3]).all()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_an_odd_name_keeps_its_row_and_every_row_is_one_line(tmp_path, suffix):
    path = tmp_path / f"p{suffix}"
    scored = clients.Scored(["x"], [1.0])
    write(path, [ODD, "b.png"], classifier(answer=lambda file: scored), top=1)
    if suffix == ".npz":
        assert np.load(path)["names"].tolist() == ["caf\\xe9\\n.png", "b.png"]
        return
    lines = path.read_text(encoding="utf-8").splitlines()
    assert len(lines) == (2 if suffix == ".jsonl" else 3)
    if suffix == ".jsonl":
        assert json.loads(lines[0])["file"] == ODD
    else:
        assert lines[1] == "caf\\xe9\\n.png,1,x,1,"


def test_all_files_may_be_bad(tmp_path):
    for suffix in SUFFIXES:
        assert write(tmp_path / f"p{suffix}", ["3.png", "10.png"]).failed == 2
    with np.load(tmp_path / "p.npz") as found:
        assert found["labels"].shape == found["scores"].shape == (2, 0)


class StopError(Exception):
    """Ends the work as a defect of the program would."""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_work_goes_on_from_any_place_and_ends_with_the_same_bytes(
    tmp_path, suffix, monkeypatch
):
    monkeypatch.setattr(prediction_output, "SAVE_INTERVAL_S", 0.0)
    whole = tmp_path / f"whole{suffix}"
    write(whole, FILES)
    for stop in range(30):
        path, asked = tmp_path / f"{stop}{suffix}", []

        def stopping(file, stop=stop):
            if file == f"{stop}.png":
                raise StopError
            return answer_of(file)

        with pytest.raises(StopError):
            write(path, FILES, classifier(answer=stopping))

        def counting(file, asked=asked):
            asked.append(file)
            return answer_of(file)

        assert write(path, FILES, classifier(answer=counting)).failed == 4
        assert asked == FILES[stop // 4 * 4 :]  # whole batches are not asked for again
        assert path.read_bytes() == whole.read_bytes()
        assert not path.with_name(f"{path.name}.partial").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_complete_work_is_not_done_again(tmp_path, suffix):
    def forbidden(file):
        raise AssertionError(file)

    first = write(tmp_path / f"p{suffix}", FILES)
    again = write(tmp_path / f"p{suffix}", FILES, classifier(answer=forbidden))
    assert first == again


@pytest.fixture(params=["begun", "complete"])
def earlier(request, tmp_path, monkeypatch):
    """Two images of which a file of predictions was begun or made, and that file."""
    monkeypatch.setattr(prediction_output, "SAVE_INTERVAL_S", 0.0)
    files = [str(tmp_path / f"{number}.png") for number in range(2)]
    for file in files:
        with open(file, "wb") as opened:
            opened.write(b"x")

    def answer(file):
        if request.param == "begun" and file == files[1]:
            raise StopError
        return clients.Scored(["x"], [1.0])

    path = tmp_path / "p.jsonl"
    try:
        write(path, files, classifier(batch_size=1, answer=answer))
    except StopError:
        assert request.param == "begun"
    return path, files


def scored(file):
    return clients.Scored(["x"], [1.0])


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"model": "other"}, r"different model \(net then, other now\)"),
        ({"batch size": 2}, r"different batch size \(None then, 2 now\)"),
        ({"top": 3}, r"different top \(2 then, 3 now\)"),
        ({"files": 1}, r"different images \(2 files, digest \w+ then, 1 files, "),
        ({"touched": True}, r"different images \(2 files, digest \w+ then, 2 files, "),
    ],
)
def test_another_model_other_flags_and_other_files_are_refused_with_both(
    earlier, changes, message
):
    path, files = earlier
    before = path.read_bytes()
    changes = dict(changes)
    top = changes.pop("top", 2)
    files = files[: changes.pop("files", 2)]
    if changes.pop("touched", False):
        os.utime(files[0], ns=(1, 1))
    with pytest.raises(ValueError, match=message):
        write(path, files, classifier(1, scored, **changes), top=top)
    assert path.read_bytes() == before


def test_a_file_that_was_removed_is_written_anew(earlier):
    path, files = earlier
    path.unlink()
    write(path, files[:1], classifier(batch_size=1, answer=scored))
    assert len(path.read_text().splitlines()) == 1


def test_a_file_that_became_shorter_is_refused(earlier):
    path, files = earlier
    path.write_bytes(path.read_bytes()[:-5])
    with pytest.raises(ValueError, match=r"p\.jsonl is shorter than p\.jsonl\.about"):
        write(path, files, classifier(batch_size=1, answer=scored))


def test_a_damaged_description_is_refused(earlier):
    path, files = earlier
    about = path.with_name("p.jsonl.about.json")
    for text in ("{", "[]", '{"plan": 1}', about.read_text().replace("rows", "row")):
        about.write_text(text)
        with pytest.raises(ValueError, match=r"about\.json is damaged: remove it"):
            write(path, files, classifier(batch_size=1, answer=scored))


def test_a_file_of_something_else_is_never_changed(tmp_path):
    path = tmp_path / "p.csv"
    path.write_text("mine")
    with pytest.raises(
        FileExistsError, match=r"p\.csv exists, and p\.csv\.about\.json"
    ):
        write(path, FILES)
    assert path.read_text() == "mine"


def test_two_commands_do_not_write_the_same_file(tmp_path):
    def write_too(file):
        with pytest.raises(ValueError, match="another process is writing"):
            write(tmp_path / "p.jsonl", FILES)
        return answer_of(file)

    write(tmp_path / "p.jsonl", FILES[:2], classifier(answer=write_too))


@pytest.mark.parametrize("name", ["p", "p.json", "p.txt", "p.jsonl.gz"])
def test_a_file_of_another_kind_is_refused(name):
    with pytest.raises(ValueError, match=r"must end in \.jsonl, \.csv or \.npz"):
        prediction_output.check_output(name)


def test_a_folder_is_refused(tmp_path):
    (tmp_path / "p.csv").mkdir()
    with pytest.raises(ValueError, match="is a folder: name a file"):
        prediction_output.check_output(str(tmp_path / "p.csv"))


def test_one_bad_file_more_than_allowed_stops_and_more_allowed_goes_on(
    tmp_path, capsys
):
    path = tmp_path / "p.jsonl"
    with pytest.raises(
        image_decoding.BadImageError, match=r"^17\.png: .*--max_bad_files"
    ):
        write(path, FILES, max_bad_files=2)
    assert write(path, FILES, max_bad_files=4).failed == 4
    write(tmp_path / "whole.jsonl", FILES)
    assert path.read_bytes() == (tmp_path / "whole.jsonl").read_bytes()
    assert "10.png: not a readable image (x)" in capsys.readouterr().err


def test_a_server_that_fails_is_no_fault_of_a_file(tmp_path, capsys):
    """Its files would be lost if they had rows with the error."""
    path = tmp_path / "p.jsonl"

    def failing(file):
        if file == "13.png":
            return clients.ServerError("http://x: no answer")
        return answer_of(file)

    with pytest.raises(clients.ServerError, match="no answer"):
        write(path, FILES, classifier(answer=failing))
    assert "run the same command again to continue" in capsys.readouterr().err
    assert b"no answer" not in path.read_bytes()
    rejected = clients.RejectedError("400: image_bytes: no")
    found = classifier(answer=lambda f: rejected if f == "13.png" else answer_of(f))
    assert write(path, FILES, found).failed == 5


# Writes predictions slowly, as the arguments say, until somebody kills it.
SLOW = """
import sys, time
from alexnet_tf.serving import prediction_output
from tests.serving import test_prediction_output as tests

prediction_output.SAVE_INTERVAL_S = 0.01
made = tests.classifier(answer=lambda file: time.sleep(0.002) or tests.answer_of(file))
print("begun", flush=True)
tests.write(sys.argv[1], [f"{n}.png" for n in range(300)], made)
"""


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_work_that_is_killed_again_and_again_ends_with_the_same_bytes(tmp_path, suffix):
    kill_at_random(tmp_path, suffix, kills=3)


@pytest.mark.long
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_work_that_is_killed_many_times_ends_with_the_same_bytes(tmp_path, suffix):
    for number in range(10):
        (tmp_path / f"{number}").mkdir()
        kill_at_random(tmp_path / f"{number}", suffix, kills=10)


def kill_at_random(folder, suffix, kills):
    files = [f"{number}.png" for number in range(300)]
    write(folder / f"whole{suffix}", files)
    path, randomly = folder / f"p{suffix}", random.Random(suffix)
    rows = folder / f"p{suffix}.partial/rows.jsonl" if suffix == ".npz" else path
    for _ in range(kills):
        process = subprocess.Popen(
            [sys.executable, "-c", SLOW, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        process.stdout.readline()
        time.sleep(randomly.uniform(0, 0.3))
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if rows.exists():
            assert rows.read_bytes()[-1:] in (b"", b"\n")  # whole lines only
    write(path, files)
    assert path.read_bytes() == (folder / f"whole{suffix}").read_bytes()
