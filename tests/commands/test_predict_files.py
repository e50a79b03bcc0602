"""The command `predict` on folders, patterns and lists, and its files of predictions."""

import json
import os
import shutil
import signal
import subprocess
import sys

import numpy as np
import pytest

from alexnet_tf import predict
from alexnet_tf.runtime import options
from alexnet_tf.serving import local_model
from tests import conftest
from tests.support import programs

pytestmark = pytest.mark.usefixtures("loaded_once")

# Runs the command, which kills itself after the second batch.
KILLED = """
import os, signal
from alexnet_tf import predict
from alexnet_tf.runtime import command
from alexnet_tf.serving import prediction_output

prediction_output.SAVE_INTERVAL_S = 0
end_batch, ended = prediction_output.PredictionFile.end_batch, []

def end_batch_and_die(work):
    end_batch(work)
    ended.append(work.rows)
    if len(ended) == 2:
        os.kill(os.getpid(), signal.SIGKILL)

prediction_output.PredictionFile.end_batch = end_batch_and_die
command.run_command("predict", predict.OPTIONS, predict.main, "")
"""


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """Twelve images in three folders; one of them is broken."""
    monkeypatch.chdir(tmp_path)
    conftest.write_noisy_images(tmp_path / "photos", each=4)
    (tmp_path / "photos/class1/2.png").write_bytes(b"not an image")
    (tmp_path / "photos/notes.txt").write_text("x")
    return tmp_path


def run(arguments, **given):
    predict.main(options.replace(predict.OPTIONS(), **given), arguments)


def rows_of(path):
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_a_folder_a_pattern_and_a_list_give_the_same_rows(exported, photos, capsys):
    files = sorted(f"photos/class{c}/{n}.png" for c in range(3) for n in range(4))
    (photos / "list.txt").write_text("\n".join(files))
    ways = {
        "folder": (["photos"], {}),
        "pattern": (["photos/*/?.png"], {}),
        "list": ([], {"images_from": "list.txt"}),
        "files": (files, {}),
    }
    for name, (arguments, given) in ways.items():
        with pytest.raises(ValueError, match=r"^1 of 12 files were not classified"):
            run(arguments, model=str(exported), output=f"{name}.jsonl", **given)
    said = capsys.readouterr()
    assert "ignored 1 file not named as images: 1 .txt" in said.err
    assert said.out.count("12 images, 1 of them with an error") == 4
    found = [rows_of(photos / f"{name}.jsonl") for name in ways]
    assert found[0] == found[1] == found[2] == found[3]
    assert [row["file"] for row in found[0]] == files
    bad = [row for row in found[0] if "error" in row]
    (expected,) = bad
    assert expected["file"] == "photos/class1/2.png"
    assert "not a JPEG, PNG, GIF, BMP or WebP" in expected["error"]


def test_rows_are_what_the_model_answers(exported, photos):
    run(["photos"], model=str(exported), output="p.npz", max_bad_files=1, top=2)
    answers = dict(
        local_model.Model(exported).classify_files(
            sorted(map(str, (photos / "photos").rglob("*.png")))
        )
    )
    with np.load("p.npz") as found:
        assert found["failed"].tolist() == [6]
        for row, (file, answer) in enumerate(answers.items()):
            assert file.endswith(found["names"][row])
            if row != 6:
                names = found["classes"][found["labels"][row]].tolist()
                assert names == answer.classes[:2]
                assert found["scores"][row] == pytest.approx(
                    answer.scores[:2], rel=1e-5
                )


@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".npz"])
def test_a_killed_command_goes_on_where_it_was(exported, photos, suffix, monkeypatch):
    given = {"model": str(exported), "batch_size": 3, "max_bad_files": 1}
    arguments = [f"--{name}={value}" for name, value in given.items()]
    done = programs.run("-c", KILLED, *arguments, f"--output=p{suffix}", "photos")
    assert done.returncode == -signal.SIGKILL, done.stderr[-2000:]
    taken = []
    classify = local_model.Model.classify_files
    monkeypatch.setattr(
        local_model.Model,
        "classify_files",
        lambda model, paths: classify(model, (taken.append(p) or p for p in paths)),
    )
    run(["photos"], **given, output=f"p{suffix}")
    assert len(taken) == 6
    run(["photos"], **given, output=f"whole{suffix}")
    assert (photos / f"p{suffix}").read_bytes() == (
        photos / f"whole{suffix}"
    ).read_bytes()


def test_another_model_with_the_same_file_is_refused_with_both(exported, photos):
    run(["photos"], model=str(exported), output="p.csv", max_bad_files=1)
    shutil.copytree(exported, photos / "other")
    (photos / "other/assets/labels.txt").write_text("changed\n")
    before = (photos / "p.csv").read_bytes()
    with pytest.raises(
        ValueError, match=rf"different model \({exported}, digest .* then, "
    ):
        run(["photos"], model="other", output="p.csv", max_bad_files=1)
    shutil.copytree(exported, photos / "third/1")
    with pytest.raises(ValueError, match="third/1, digest .* now"):
        run(["photos"], model="third", output="p.csv", max_bad_files=1)
    assert (photos / "p.csv").read_bytes() == before


def test_more_bad_files_than_allowed_stop_the_command(exported, photos):
    with pytest.raises(ValueError, match=r"class1/2\.png: .* --max_bad_files=N"):
        run(["photos"], model=str(exported), max_bad_files=0)


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"output": "p.txt"}, r"--output=p\.txt must end in"),
        ({"images_from": "absent.txt"}, r"absent\.txt"),
        ({"batch_size": 129}, "batch_size must be from 1 to 128"),
        (
            {"server": "localhost:1", "bench": True, "output": "p.csv"},
            "--bench sends single images .* leave --output out",
        ),
    ],
)
def test_what_cannot_be_done_is_refused(exported, photos, given, message):
    model = {} if "server" in given else {"model": str(exported)}
    with pytest.raises((ValueError, OSError), match=message):
        run(["photos"], **model, **given)
    assert not any(name.startswith("p.") for name in os.listdir())


def test_one_image_is_classified_without_what_only_exporting_needs(exported, photos):
    """Building nets and the serving API's protos would delay a cold start."""
    code = (
        "import sys\n"
        "from alexnet_tf import predict\n"
        "from alexnet_tf.runtime import options\n"
        f"chosen = options.replace(predict.OPTIONS(), model={str(exported)!r})\n"
        "predict.main(chosen, ['photos/class0/0.png'])\n"
        "needless = {'tensorflow_serving', 'tensorflow_datasets', 'grpc'}\n"
        "needless |= {'alexnet_tf.models.builder', 'alexnet_tf.serving.saved_model'}\n"
        "assert not needless & set(sys.modules), needless & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
