"""The command `predict`, with an export in this process and with a server."""

import csv
import io
import json
import os
import pathlib

import numpy as np
import pytest
from PIL import Image

from alexnet_tf import predict
from alexnet_tf.data import image_decoding
from alexnet_tf.runtime import options
from alexnet_tf.serving import classification
from alexnet_tf.serving import client as clients
from tests.support import commands, images, servers


def run_predict(*arguments):
    return commands.run("predict", *arguments)


def test_a_server_classifies_the_other_files_after_a_bad_one(
    address, png, tmp_path, keras_answers
):
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    good.write_bytes(png[0])
    bad.write_bytes(b"not an image")
    done = run_predict(
        *(f"--server={address}", "--format=json", "--top=2"),
        *(str(bad), str(good), str(tmp_path / "absent.png")),
    )
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found["file"] == str(good)
    assert found["classes"] == [c.decode() for c in keras_answers["classes"][0][:2]]
    (line,) = [x for x in done.stderr.splitlines() if x.startswith(str(bad))]
    assert "not a JPEG, PNG, GIF, BMP or WebP" in line
    assert "absent.png" in done.stderr
    assert "2 of 3 files were not classified" in done.stderr


def test_a_server_writes_the_rows_that_an_export_does(
    address, exported, tmp_path, encoded_images
):
    """Images of several sizes and kinds, in batches, and bad ones between them."""
    photos = tmp_path / "photos"
    photos.mkdir()
    for number, (data, _) in enumerate(encoded_images * 2):
        (photos / f"{number:02}.jpg").write_bytes(data)
    (photos / "03b.jpg").write_bytes(b"not an image")
    (photos / "99.jpg").write_bytes(b"")
    rows = {}
    for name, place in (
        ("server", {"server": address, "timeout_s": servers.LIMIT_S}),
        ("export", {"model": str(exported)}),
    ):
        output = tmp_path / f"{name}.jsonl"
        given = {"output": str(output), "batch_size": 5, "max_bad_files": 2}
        chosen = options.replace(predict.PredictOptions(), **place, **given)
        predict.main(chosen, [str(photos)])
        rows[name] = [json.loads(line) for line in output.read_text().splitlines()]
    assert len(rows["server"]) == len(encoded_images) * 2 + 2
    for of_server, of_export in zip(rows["server"], rows["export"], strict=True):
        scores = of_server.pop("scores", None), of_export.pop("scores", None)
        assert of_server == of_export
        assert scores[0] == pytest.approx(scores[1], abs=1e-5)
    assert [row["file"][-7:] for row in rows["server"] if "error" in row] == [
        *("03b.jpg", "/99.jpg")
    ]


def test_bench_prints_one_line_per_number_of_requests_in_flight(server, png, tmp_path):
    file = tmp_path / "good.png"
    file.write_bytes(png[0])
    done = run_predict(
        *(f"--server={server.rest}", "--bench", "--in_flight=3", "--format=csv"),
        str(file),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["in_flight"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert float(row["p50_s"]) <= float(row["p95_s"]) <= float(row["p99_s"])
        assert float(row["per_s"]) > 0


def test_bench_needs_a_server(tmp_path):
    done = run_predict("--bench", "image.png")
    assert done.returncode == 1
    assert "--bench times a server: name it by --server=" in done.stderr


@pytest.mark.parametrize(
    ("given", "message"),
    [
        (
            {"model": "export", "server": "localhost:8500"},
            "--model=export and --server=localhost:8500 are two places: leave one",
        ),
        ({"model_version": "canary"}, "--model_version=canary is of a server: name it"),
        ({"ca_file": "ca.pem", "model": "export"}, "--ca_file=ca.pem is of a server"),
    ],
)
def test_an_option_that_the_other_place_would_not_read_is_refused(given, message):
    chosen = options.replace(predict.PredictOptions(), **given)
    with pytest.raises(ValueError, match=f"^{message}"):
        predict.main(chosen, ["image.png"])


def test_an_export_classifies_the_other_files_after_a_bad_one(
    exported, tmp_path, encoded_images
):
    good = tmp_path / "good.png"
    good.write_bytes(encoded_images[0][0])
    bad = tmp_path / "bad.jpg"
    bad.write_bytes(b"not an image")
    done = run_predict(
        *(f"--model={exported.parent}", "--format=json", "--top=2"),
        *(str(bad), str(good), str(tmp_path / "absent.png")),
    )
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found["file"] == str(good)
    assert len(found["classes"]) == len(found["scores"]) == 2
    assert found["scores"][0] >= found["scores"][1]
    (line,) = [x for x in done.stderr.splitlines() if x.startswith(str(bad))]
    assert "not a JPEG, PNG, GIF, BMP or WebP" in line
    assert "absent.png" in done.stderr
    assert "2 of 3 files were not classified" in done.stderr


@pytest.mark.parametrize("form", ["table", "json", "csv"])
def test_an_odd_file_name_loses_no_other_answer(exported, tmp_path, png, form):
    """A line break, bytes that are not UTF-8, and a terminal that knows ASCII only."""
    names = [b"new\nline.png", b"caf\xe9.png", "\u5b57.png".encode(), b"plain.png"]
    files = [os.fsencode(tmp_path / os.fsdecode(name)) for name in names]
    for file in files:
        pathlib.Path(os.fsdecode(file)).write_bytes(png[0])
    os.mkfifo(tmp_path / "pipe.png")
    done = commands.run(
        *("predict", f"--model={exported.parent}", f"--format={form}", "--top=1"),
        *(tmp_path / "pipe.png", *map(os.fsdecode, files)),
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    assert "pipe.png: a named pipe, not an image file" in done.stderr
    assert "1 of 5 files were not classified" in done.stderr
    assert done.stdout.isascii()
    if form == "table":
        shown = done.stdout.splitlines()[::2]
        ends = ["new\\nline.png", "caf\\xe9.png", "\\u5b57.png", "plain.png"]
        assert [line.split("/")[-1] for line in shown] == ends
    elif form == "json":
        found = [entry["file"] for entry in json.loads(done.stdout)]
        assert len(found) == 4
        assert found[0].endswith("new\nline.png")
    else:
        rows = list(csv.DictReader(io.StringIO(done.stdout, newline="")))
        assert len(rows) == 4
        assert rows[0]["file"].endswith("new\nline.png")


def test_predictions_are_printed_as_table_json_or_csv():
    predictions = [classification.Prediction("a,b.png", ["cat", "dog"], [0.75, 0.25])]
    table = classification.predictions_text(predictions, "table").splitlines()
    assert table == ["a,b.png", "   75.00 %  cat", "   25.00 %  dog"]
    assert json.loads(classification.predictions_text(predictions, "json"))[0][
        "classes"
    ] == ["cat", "dog"]
    assert classification.predictions_text(predictions, "csv").splitlines() == [
        "file,rank,class,score",
        '"a,b.png",1,cat,0.750000',
        '"a,b.png",2,dog,0.250000',
    ]


def test_images_of_16_bits_are_reported_once(capsys, tmp_path):
    levels = np.arange(2000, dtype=np.uint16).reshape(50, 40)
    for name, scale in (("a", 32), ("b", 32), ("dark", 2)):
        (tmp_path / name).write_bytes(
            images.encode(Image.fromarray(levels * np.uint16(scale)), "PNG")
        )

    def read(file):
        image_decoding.decode((tmp_path / file).read_bytes(), file)
        return clients.Scored(["x"], [1.0])

    made = classification.Classifier(
        lambda files: ((file, read(file)) for file in files), 1, dict
    )
    list(classification.classify_files(["b", "a", "dark"], made, top=1))
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(
        "warning: 2 images have 16 bits per sample, of which the upper 8 are used, such "
        "as a; 1 image has 16 bits per sample but no value above 4095"
    )
    assert line.endswith("such as dark")


def test_a_server_that_fails_ends_the_work_and_its_answers_are_printed(
    monkeypatch, capsys, tmp_path, png
):
    files = [tmp_path / f"{number}.png" for number in range(20)]
    for file in files:
        file.write_bytes(png[0])
    asked = []

    def answer(client, found):
        asked.append(found)
        if len(asked) > 2:
            raise clients.ServerError("http://localhost:1: no answer")
        return [clients.Scored(["cat"], [1.0])] * len(found)

    monkeypatch.setattr(clients.Client, "classify_each", answer)
    chosen = options.replace(
        predict.PredictOptions(),
        **{"server": "http://localhost:1", "batch_size": 1, "in_flight": 1},
    )
    with pytest.raises(clients.ServerError, match=r"^http://localhost:1: no answer$"):
        predict.main(chosen, [str(tmp_path)])
    said = capsys.readouterr()
    assert said.out.count("100.00 %  cat") == 2
    assert "no answer" not in said.err  # the command prints it, once


@pytest.mark.parametrize("scheme", ["http://", ""])
def test_an_address_where_no_server_listens_is_reported_once_with_what_to_do(
    scheme, tmp_path, png
):
    for number in range(3):
        (tmp_path / f"{number}.png").write_bytes(png[0])
    address = f"{scheme}localhost:{servers.free_port()}"
    done = run_predict(f"--server={address}", "--attempts=1", str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    (line,) = [x for x in done.stderr.splitlines() if "Connection refused" in x]
    assert line.startswith(f"alexnet_tf.predict: {address}")
    assert "Connection refused: no server listens at this port" in line
    assert "tools/serving/serve.sh EXPORT starts one" in line
