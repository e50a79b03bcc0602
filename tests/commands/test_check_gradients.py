"""`check_gradients` names the layer whose gradient is wrong, and ends with status 1."""

import csv
import io
import json

import keras
import pytest

from alexnet_tf import check_gradients
from alexnet_tf.models import builder, layers
from alexnet_tf.runtime import options
from tests.support import nets, programs, runs, wrong_gradients


def small_model(architecture, **asked):
    """A convolution, LRN behind a ReLU, dropout and a dense layer."""
    del architecture, asked
    x = image = keras.Input((9, 9, 3))
    for layer in (
        layers.Convolution(6, 3, explicit_padding=(1, 1), name="conv1"),
        layers.ReLU(name="conv1_relu"),
        layers.LocalResponseNormalization(name="conv1_lrn"),
        keras.layers.Flatten(name="flatten"),
        layers.Dropout(0.5, name="dropout"),
        layers.Dense(5, name="fc"),
    ):
        x = layer(x)
    return keras.Model(image, x)


def run(**chosen):
    check_gradients.main(options.replace(check_gradients.OPTIONS(), **chosen), [])


@pytest.fixture
def planted(monkeypatch):
    """Makes the command check a small net, in which the gradient of `layer` is wrong."""

    def plant(layer, factor):
        def build(*arguments, **asked):
            model = small_model(*arguments, **asked)
            if layer is not None:
                wrong_gradients.plant(model.get_layer(layer), factor)
            return model

        monkeypatch.setattr(builder, "build", build)

    return plant


@pytest.mark.parametrize("layer", ["conv1", "conv1_lrn", "dropout", "fc"])
def test_the_layer_with_a_wrong_gradient_is_named(planted, layer, capsys):
    planted(layer, 1.05)
    with pytest.raises(RuntimeError) as raised:
        run()
    message = str(raised.value)
    assert "\n" not in message
    assert f"the gradient of {layer} by its " in message
    rows = capsys.readouterr().out.splitlines()[2:]
    wrong = [row.split()[0] for row in rows if "WRONG" in row]
    # The pair of ReLU and LRN contains the LRN.
    assert wrong == [layer, *(["conv1_relu+conv1_lrn"] if layer == "conv1_lrn" else [])]


def test_json_and_csv_hold_what_the_table_holds(planted, capsys):
    planted("fc", 0.0)
    printed = {}
    for format in ("json", "csv"):
        with pytest.raises(RuntimeError, match="the gradient of fc "):
            run(format=format)
        printed[format] = capsys.readouterr().out
    found = json.loads(printed["json"])
    assert [layer["layer"] for layer in found if layer["verdict"] != "correct"] == [
        "fc"
    ]
    assert [check["variable"] for check in found[0]["checks"]] == [
        *("kernel", "bias", "inputs")
    ]
    rows = list(csv.DictReader(io.StringIO(printed["csv"])))
    assert [(row["layer"], row["verdict"]) for row in rows] == [
        (layer["layer"], layer["verdict"]) for layer in found
    ]


def test_without_a_fault_nothing_is_raised(planted, capsys):
    planted(None, 1.0)
    run()
    assert "WRONG" not in capsys.readouterr().out


def test_weights_that_are_not_finite_are_not_called_correct(monkeypatch, capsys):
    def build(*arguments, **asked):
        model = small_model(*arguments, **asked)
        kernel, bias = model.get_layer("fc").get_weights()
        kernel[0, 0] = float("nan")
        model.get_layer("fc").set_weights([kernel, bias])
        return model

    monkeypatch.setattr(builder, "build", build)
    with pytest.raises(RuntimeError, match="fc by its .* could not be checked"):
        run(format="json")
    assert "NaN" not in capsys.readouterr().out


def test_the_net_of_a_run_is_checked(tmp_path, monkeypatch, capsys):
    recorded = runs.write_untrained(tmp_path / "run", nets.TINY, dropout="original")
    asked = {}
    right = builder.build

    def build(architecture, **named):
        asked.update(
            named, architecture=architecture.name, size=architecture.input_size
        )
        return right(architecture, **named)

    monkeypatch.setattr(builder, "build", build)
    run(checkpoint=str(recorded), lrn="stock", winograd=False, seed=3)
    assert asked == {
        **{"architecture": nets.TINY.name, "size": nets.TINY.input_size},
        **{"dropout": "original", "lrn": "stock", "winograd": False, "seed": 3},
    }
    first, *rows = capsys.readouterr().out.splitlines()
    assert f"{nets.TINY.name}, weights of {recorded}" in first
    assert all(row.endswith("correct") for row in rows[1:])


def test_options_that_would_change_nothing_are_refused():
    with pytest.raises(ValueError, match="leave --architecture=paper out"):
        run(checkpoint="runs/x", architecture="paper")
    with pytest.raises(ValueError, match="no normalization layers"):
        run(architecture="cifar10_13pct", lrn="stock")


def test_a_wrong_gradient_of_the_op_is_one_line_and_status_1():
    code = (
        "from alexnet_tf import check_gradients\n"
        "from alexnet_tf.ops import lrn\n"
        "from alexnet_tf.runtime import command\n"
        "name = 'alexnet_tf_local_response_normalization_grad'\n"
        "right = getattr(lrn.library.ops, name)\n"
        "setattr(lrn.library.ops, name, lambda *x, **more: 1.01 * right(*x, **more))\n"
        "command.run_command('check_gradients', check_gradients.OPTIONS,\n"
        "                    check_gradients.main, None)\n"
    )
    done = programs.run("-c", code, "--architecture=cifar10_11pct")
    assert done.returncode == 1, done.stderr
    last = done.stderr.strip().splitlines()[-1]
    assert last.startswith(
        "alexnet_tf.check_gradients: the gradient of conv1_responsenormalization by its "
        "inputs is wrong: it differs from the numerical one by 0.0"
    )
    assert "Traceback" not in done.stderr
    wrong = [row.split()[0] for row in done.stdout.splitlines() if "WRONG" in row]
    assert wrong == [
        "conv1_responsenormalization",
        "conv2_responsenormalization",
        "conv2_relu+conv2_responsenormalization",
    ]
