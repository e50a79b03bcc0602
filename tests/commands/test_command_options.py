"""Every option of a command reaches the call that it is meant for."""

import ast
import contextlib
import importlib
import json
import pathlib
import types

import pytest

from alexnet_tf import evaluate, export, features, predict
from alexnet_tf.__main__ import COMMANDS
from alexnet_tf.data import prepared_dataset
from alexnet_tf.evaluation import ensembles, evaluator, image_sets, measures
from alexnet_tf.evaluation import features as extraction
from alexnet_tf.models import checkpoint_files, devices, trained
from alexnet_tf.runtime import options
from alexnet_tf.serving import classification, export_verification, exporting
from alexnet_tf.serving import client as clients


def _reads_of(path):
    """What the code of a file reads: (name, attribute), and the names in `vars(...)`."""
    found, whole = set(), set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            found.add((_last_name(node.value), node.attr))
        elif isinstance(node, ast.Call) and _last_name(node.func) == "vars":
            whole.update(map(_last_name, node.args))
    return found, whole


def _last_name(node):
    return getattr(node, "attr", getattr(node, "id", None))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_option_is_ignored(command):
    """Wherever a command does its work, it reads each option of each of its groups."""
    module = importlib.import_module(f"alexnet_tf.{command}")
    package = pathlib.Path(module.__file__).parent
    paths = [package / f"{command}.py"]
    if command == "train":
        paths += (package / "training").glob("*.py")
    found, whole = (
        set.union(*each) for each in zip(*map(_reads_of, paths), strict=True)
    )
    ignored = [
        f"--{options.flag_name(option)}"
        for group, option in options.fields_of(module.OPTIONS)
        if group.name not in whole
        and not {(group.name, option.name), ("chosen", option.name)} & found
    ]
    assert not ignored


def test_the_options_of_evaluate_reach_the_net_and_the_evaluation(
    tmp_path, monkeypatch, capsys
):
    asked = {}
    net = types.SimpleNamespace(architecture=types.SimpleNamespace(input_size=24))
    found = ensembles.Net(tmp_path, "/run/step-5", net)
    dataset = types.SimpleNamespace(
        path="/images",
        evaluation_split="validation",
        shards=lambda split: [],
        classes=["a", "b"],
    )
    errors = dict.fromkeys(measures.MEASURES, 1.0)
    results = {"center_crop": errors, "ten_crop": errors, "images": 3}

    def find_nets(named):
        asked["find_nets"] = named
        return [found]

    def restore(*arguments, **named):
        asked["restore"] = (arguments, named)
        return types.SimpleNamespace(model="the model")

    def dataset_of(*arguments):
        asked["dataset_of"] = arguments
        return dataset

    def evaluation(model):
        def measure(*arguments, **named):
            asked["measure"] = (model, arguments, named)
            return results

        return measure

    monkeypatch.setattr(devices, "configure", lambda *n: asked.update(configure=n))
    monkeypatch.setattr(devices, "allow_tf32", lambda a: asked.update(tf32=a))
    monkeypatch.setattr(ensembles, "find_nets", find_nets)
    monkeypatch.setattr(trained, "restore", restore)
    monkeypatch.setattr(ensembles, "dataset_of", dataset_of)
    monkeypatch.setattr(evaluator, "Evaluation", evaluation)
    chosen = options.replace(
        evaluate.OPTIONS(),
        **{"checkpoint": "runs/x", "precision": "bfloat16", "dataset": "data/x"},
        **{"split": "test", "damaged_records": "skip", "batch_size": 7},
        **{"tower_devices": ("/CPU:1",), "logical_cpus": 2, "logical_gpus": 3},
        format="json",
    )
    evaluate.main(chosen, [])
    assert asked == {
        "configure": (2, 3),
        "tf32": False,
        "find_nets": ["runs/x"],
        "restore": (
            ("/run/step-5",),
            {"precision": "bfloat16", "tower_devices": ("/CPU:1",)},
        ),
        "dataset_of": ([found], "data/x"),
        "measure": (
            "the model",
            (dataset, "test"),
            {"crop": 24, "batch_size": 7, "damaged": "skip", "keep": None},
        ),
    }
    written = json.loads((tmp_path / "evaluation.json").read_text())
    assert written == json.loads(capsys.readouterr().out)
    assert written == results | {
        **{"checkpoint": "/run/step-5", "step": 5, "dataset": "/images"},
        **{"split": "test", "precision": "bfloat16"},
    }


def test_without_a_split_the_datasets_own_is_evaluated(trained_run, capsys):
    evaluate.main(
        options.replace(
            evaluate.OPTIONS(), checkpoint=str(trained_run), precision="float32"
        ),
        [],
    )
    assert "on the validation split" in capsys.readouterr().err


def test_the_result_names_the_precision_that_auto_stands_for(
    trained_run, monkeypatch, capsys
):
    monkeypatch.setattr(devices, "precision", lambda asked: "float32")
    chosen = {"checkpoint": str(trained_run), "precision": "auto", "format": "json"}
    evaluate.main(options.replace(evaluate.OPTIONS(), **chosen), [])
    assert json.loads(capsys.readouterr().out)["precision"] == "float32"


def test_the_options_of_features_reach_the_net_and_the_images(
    tmp_path, monkeypatch, capsys
):
    asked = {}
    restored = types.SimpleNamespace(
        checkpoint="/run/step-5",
        trained=types.SimpleNamespace(
            background=(1, 2, 3),
            resize="squash",
            architecture=types.SimpleNamespace(input_size=24, record_size=32),
        ),
        architecture=types.SimpleNamespace(towers=2),
    )
    dataset = types.SimpleNamespace(size=32, resize="squash")
    images = types.SimpleNamespace(count=9, where="images", notes=())

    def noting(name, answer):
        def note(*arguments, **named):
            asked[name] = (arguments, named)
            return answer

        return note

    def written(*arguments, stop_signal, **named):
        asked["write"] = (arguments, named)
        return extraction.Written(tmp_path / "f.npz", {"fc7": (8, 4)}, ("bad",))

    for module, name, answer in (
        (devices, "configure", None),
        (devices, "allow_tf32", None),
        (devices, "resolve", ("/CPU:0", "/CPU:1")),
        (devices, "precision", "bfloat16"),
        (trained, "restore", restored),
        (image_sets, "folder_images", images),
        (image_sets, "split_images", images),
        (prepared_dataset, "read_description", dataset),
    ):
        monkeypatch.setattr(module, name, noting(name, answer))
    monkeypatch.setattr(extraction, "write_features", written)
    chosen = options.replace(
        features.OPTIONS(),
        **{"checkpoint": "runs/x", "precision": "bfloat16", "layer": ("fc7", "fc7")},
        **{"towers": "separate", "batch_size": 7, "max_bad_files": 2},
        **{"tower_devices": ("/CPU:1",)},
        **{"output": str(tmp_path / "f.npz"), "format": "json"},
    )
    features.main(options.replace(chosen, images="photos"), [])
    assert asked["configure"] == ((), {})
    assert asked["allow_tf32"] == ((False,), {})
    assert asked["restore"] == (
        ("runs/x",),
        {"precision": "bfloat16", "tower_devices": ("/CPU:1",), "inputs": "pixels"},
    )
    assert asked["resolve"] == ((("/CPU:1",), 2), {})
    assert asked["folder_images"] == (
        ("photos",),
        {"size": 32, "side": 24, "background": (1, 2, 3), "resize": "squash"},
    )
    settings = {"precision": "bfloat16", "devices": ("/CPU:0", "/CPU:1")}
    assert asked["write"] == (
        (restored, images, tmp_path / "f.npz"),
        {"layers": ["fc7"], "towers": "separate", "batch_size": 7}
        | {"max_bad_files": 2, "settings": settings},
    )
    assert json.loads(capsys.readouterr().out) == {
        "file": str(tmp_path / "f.npz"),
        "checkpoint": "/run/step-5",
        "images": 8,
        "left_out": 1,
        "layers": {"fc7": [8, 4]},
    }
    data = {"dataset": "data/x", "split": "test", "damaged_records": "skip"}
    features.main(options.replace(chosen, **data), [])
    (dataset, split), named = asked["split_images"]
    assert (dataset.size, split) == (32, "test")
    assert named == {"side": 24, "damaged": "skip"}


def test_the_options_of_export_reach_it(monkeypatch, capsys):
    asked = {}

    def write(checkpoint, **named):
        asked.update(named, checkpoint=checkpoint)
        return pathlib.Path("/out/4")

    def locate(checkpoint):
        return None, f"{checkpoint}/step-5"

    monkeypatch.setattr(exporting, "export", write)
    monkeypatch.setattr(checkpoint_files, "locate_checkpoint", locate)
    net = types.SimpleNamespace(normalization=None)
    monkeypatch.setattr(trained, "read_trained_net", lambda run_dir: net)
    given = {
        **{"checkpoint": "runs/x", "format": "tflite", "dtype": "int8", "version": 4},
        **{"crops": 10, "top": 3, "calibration_dataset": "data/x"},
    }
    export.main(options.replace(export.OPTIONS(), output="/out", **given), [])
    assert asked == {**given, "checkpoint": "runs/x/step-5", "folder": "/out"}
    printed = capsys.readouterr()
    assert printed.out == "/out/4\n"
    assert printed.err == "exporting runs/x/step-5 as tflite\n"
    export.main(export.OPTIONS(), [])
    assert (asked["checkpoint"], asked["folder"]) == ("runs/default/step-5", None)
    assert (asked["version"], asked["top"]) == (None, exporting.DEFAULT_TOP)


def test_the_options_of_a_check_reach_it(monkeypatch, capsys):
    asked = []

    def verify(*arguments):
        asked.append(arguments)
        return pathlib.Path("/out/4"), ["classify", "features"]

    monkeypatch.setattr(export_verification, "verify_export", verify)
    chosen = options.replace(export.OPTIONS(), check="/out", checkpoint="runs/moved")
    export.main(chosen, [])
    export.main(options.replace(export.OPTIONS(), check="/out"), [])
    assert asked == [("/out", "runs/moved"), ("/out", None)]
    assert capsys.readouterr().out.startswith("/out/4: good: classify, features\n")


@pytest.mark.parametrize(
    "given",
    [
        *({"output": "/out"}, {"version": 3}, {"format": "keras"}, {"dtype": "int8"}),
        *({"crops": 10}, {"top": 3}, {"calibration_dataset": "data/x"}),
    ],
)
def test_a_check_refuses_the_options_of_an_export(given):
    chosen = options.replace(export.OPTIONS(), check="/out", **given)
    (name,) = given
    with pytest.raises(ValueError, match=f"--check examines .*, and --{name} is for"):
        export.main(chosen, [])


@pytest.mark.parametrize("bench", [False, True])
def test_the_options_of_a_server_reach_the_client(monkeypatch, capsys, bench):
    asked = {}

    @contextlib.contextmanager
    def server_classifier(server, **named):
        asked.update(named, server=server)
        answer = clients.Scored(["a", "b", "c"], [0.5, 0.3, 0.2])
        yield classification.Classifier(
            lambda files: ((file, answer) for file in files), 16, dict
        )

    def time_server(server, files, **named):
        asked.update(named, server=server, files=files)
        return []

    monkeypatch.setattr(classification, "server_classifier", server_classifier)
    monkeypatch.setattr(classification, "time_server", time_server)
    given = {
        **{"server": "localhost:1", "model_name": "net", "model_version": "canary"},
        **{"timeout_s": 2.5, "attempts": 6, "in_flight": 3, "ca_file": "ca.pem"},
    }
    chosen = options.replace(
        predict.OPTIONS(), **given, bench=bench, top=2, format="csv"
    )
    predict.main(chosen, ["a.png"])
    assert asked.pop("batch_size", None) is None
    expected = {
        **{"server": "localhost:1", "model": "net", "version": "canary"},
        **{"timeout_s": 2.5, "attempts": 6, "in_flight": 3, "ca_file": "ca.pem"},
    }
    assert asked == expected | ({"files": ["a.png"]} if bench else {})
    printed = capsys.readouterr().out.splitlines()
    if not bench:
        assert printed == [
            "file,rank,class,score",
            "a.png,1,a,0.500000",
            "a.png,2,b,0.300000",
        ]
    predict.main(options.replace(predict.OPTIONS(), server="localhost:1"), ["a.png"])
    assert (asked["version"], asked["ca_file"]) == (None, None)
