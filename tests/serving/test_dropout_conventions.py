"""Everything that restores a net uses the dropout convention it was trained with."""

import json

import numpy as np
import pytest
import tensorflow as tf

import alexnet_tf
from alexnet_tf import evaluate
from alexnet_tf.runtime import options
from alexnet_tf.serving import exporting
from tests.support import by_hand


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return by_hand.write_dataset(tmp_path_factory.mktemp("by_hand"))


@pytest.fixture(scope="module", params=["original", "inverted"])
def case(request, dataset, tmp_path_factory):
    """(convention, run folder)"""
    folder = tmp_path_factory.mktemp("runs") / "run"
    return request.param, by_hand.write_run(folder, dataset, request.param)


# Of ten images: c1 or c0 is the best class, c4 and c5 share the fifth place, and the
# sixth is never counted. 7.5 of 10 are among the five best.
TOP1_ERROR = {"original": 90.0, "inverted": 70.0}
TOP5_ERROR = 25.0


def test_evaluation_gives_the_errors_that_are_worked_out_by_hand(case, capsys):
    dropout, run = case
    chosen = options.replace(
        evaluate.OPTIONS(), checkpoint=str(run), precision="float32", format="json"
    )
    evaluate.main(chosen, [])
    found = json.loads(capsys.readouterr().out)
    labels = np.repeat(np.arange(7), by_hand.COUNTS)
    loss = -np.log(by_hand.probabilities(dropout))[labels].mean()
    for way in ("center_crop", "ten_crop"):
        assert found[way]["top1_error"] == pytest.approx(TOP1_ERROR[dropout])
        assert found[way]["top5_error"] == pytest.approx(TOP5_ERROR)
        assert found[way]["loss"] == pytest.approx(loss, rel=1e-5)
    assert (found["step"], found["split"], found["images"]) == (3, "validation", 10)


IMAGES = np.random.default_rng(0).integers(0, 256, (2, 9, 7, 3)).astype(np.uint8)


@pytest.mark.filterwarnings("ignore::UserWarning")  # of TFLite, about its interpreter
def test_every_export_gives_the_probabilities_that_are_worked_out_by_hand(
    case, tmp_path
):
    dropout, run = case
    wanted = np.tile(by_hand.probabilities(dropout), (2, 1))
    saved = tf.saved_model.load(exporting.export(run, folder=tmp_path))
    served = saved.signatures["predict_images"](image=tf.constant(IMAGES))
    np.testing.assert_allclose(served["probabilities"], wanted, rtol=1e-5)
    path = exporting.export(run, folder=tmp_path, format="keras")
    for where in (run, path):
        answers = alexnet_tf.load(where).predict(list(IMAGES), top=7)
        scores = [dict(answer)[f"c{n}"] for answer in answers for n in range(7)]
        np.testing.assert_allclose(scores, wanted.ravel(), rtol=1e-5)
    cropped = IMAGES[:1, :4, :4].astype(np.float32)
    path = exporting.export(run, folder=tmp_path, format="tflite")
    interpreter = tf.lite.Interpreter(str(path))
    interpreter.allocate_tensors()
    (entry,), (result,) = (
        interpreter.get_input_details(),
        interpreter.get_output_details(),
    )
    interpreter.set_tensor(entry["index"], cropped)
    interpreter.invoke()
    answer = interpreter.get_tensor(result["index"])
    np.testing.assert_allclose(answer, wanted[:1], rtol=1e-4)
    net = alexnet_tf.load(run).model
    np.testing.assert_allclose(net(cropped), wanted[:1], rtol=1e-5)
