"""Errors are counted as in the paper, on one crop or ten, and ties share credit."""

import json
import shutil

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import evaluate
from alexnet_tf.data import input_pipeline, prepared_dataset, records
from alexnet_tf.evaluation import evaluator, metrics
from alexnet_tf.models import (
    builder,
    checkpoint_files,
    layers,
    resizing,
    trained,
    zoo,
)
from alexnet_tf.runtime import options
from tests.support import commands


def credit(scores, label, k):
    return float(metrics.credit(tf.constant([scores]), tf.constant([label]), k)[0])


def test_only_the_best_k_classes_get_credit():
    scores = [0.1, 0.4, 0.3, 0.2]
    assert [credit(scores, label, 1) for label in range(4)] == [0, 1, 0, 0]
    assert [credit(scores, label, 2) for label in range(4)] == [0, 1, 1, 0]
    assert [credit(scores, label, 4) for label in range(4)] == [1, 1, 1, 1]


def test_classes_that_tie_share_the_remaining_places():
    # Two share first place; three share the two places behind the first.
    assert credit([0.4, 0.4, 0.2], 0, 1) == 0.5
    assert credit([0.7, 0.1, 0.1, 0.1], 2, 3) == pytest.approx(2 / 3)
    assert credit([0.25] * 4, 3, 1) == 0.25


def test_credit_over_all_classes_adds_up_to_k():
    rng = np.random.default_rng(0)
    for _ in range(50):
        scores = rng.integers(0, 4, 7).astype(np.float32)  # many ties
        for k in (1, 3, 5):
            total = sum(credit(scores, label, k) for label in range(7))
            assert total == pytest.approx(k, abs=1e-5)


def test_scores_with_nan_get_no_credit():
    assert credit([np.nan, 0.1], 0, 1) == 0
    assert credit([np.nan, 0.1], 1, 1) == 0


@pytest.fixture(scope="module")
def net(small_dataset):
    architecture = zoo.CIFAR10_11PCT.with_classes(3)
    built = builder.build(
        architecture, mean=small_dataset.statistics().mean_crop(24), seed=3
    )
    for variable in built.trainable_variables:
        variable.assign(variable * 4)  # so that the outputs differ from each other
    return built


def test_center_and_ten_crop_errors_equal_those_of_a_plain_loop(small_dataset, net):
    measure = evaluator.Evaluation(net)
    results = measure(small_dataset, "validation", crop=24, batch_size=30)
    ((images, labels),) = input_pipeline.evaluation_batches(
        small_dataset, "validation", batch_size=12
    )
    probabilities = np.zeros((12, 10, 3))
    for image in range(12):
        for view, pixels in enumerate(resizing.views(images[image], 24)):
            outputs = net(layers.plain_inputs(pixels[None]), training=False)
            exponent = np.exp(outputs.numpy()[0] - outputs.numpy().max())
            probabilities[image, view] = exponent / exponent.sum()
    for method, chosen in (
        ("center_crop", probabilities[:, 0]),
        ("ten_crop", probabilities.mean(1)),
    ):
        wrong = np.mean(chosen.argmax(-1) != labels.numpy())
        loss = -np.log(chosen[np.arange(12), labels.numpy()]).mean()
        assert results[method]["top1_error"] == pytest.approx(100 * wrong, abs=1e-3)
        assert results[method]["loss"] == pytest.approx(loss, rel=1e-4)
        assert results[method]["top5_error"] == pytest.approx(
            0, abs=1e-4
        )  # of 3 classes


def test_an_evaluation_is_traced_once_though_its_last_batch_is_smaller(
    small_dataset, net, monkeypatch
):
    traced = []
    called = net.call
    monkeypatch.setattr(
        net, "call", lambda *a, **k: (traced.append(a), called(*a, **k))[1]
    )
    measure = evaluator.Evaluation(net)
    for _ in range(2):
        measure(small_dataset, "validation", crop=24, batch_size=50)  # 5, 5, 2 images
    assert len(traced) == 1


def test_damaged_records_can_be_skipped_in_evaluation(
    small_dataset, net, tmp_path, caplog
):
    folder = tmp_path / "damaged"
    shutil.copytree(small_dataset.path, folder)
    (shard,) = folder.glob("validation-*")
    content = bytearray(shard.read_bytes())
    fifth = records.open_records(small_dataset, "validation")[5].encoded
    content[content.index(bytes(fifth)) + 7] ^= 1
    shard.write_bytes(content)
    damaged = prepared_dataset.read_description(folder)
    measure = evaluator.Evaluation(net, ten_crop=False)
    with pytest.raises(tf.errors.OpError, match="record 5 is damaged"):
        measure(damaged, "validation", crop=24)
    found = measure(damaged, "validation", crop=24, damaged="skip")
    ((images, labels),) = input_pipeline.evaluation_batches(
        small_dataset, "validation", batch_size=12
    )
    rest = [number for number in range(12) if number != 5]
    center = resizing.center_crop(images, 24).numpy()
    inputs = layers.plain_inputs(tf.constant(center[rest]))
    answers = np.argmax(net(inputs, training=False), axis=-1)
    wrong = np.mean(answers != labels.numpy()[rest])
    assert found["center_crop"]["top1_error"] == pytest.approx(100 * wrong, abs=1e-3)
    assert found["images"] == 11
    assert "1 of 12 validation images have damaged records" in caplog.text


def test_the_center_crop_errors_are_the_same_without_ten_crop(small_dataset, net):
    both = evaluator.Evaluation(net)(small_dataset, "validation", crop=24)
    alone_measure = evaluator.Evaluation(net, ten_crop=False)
    alone = alone_measure(small_dataset, "validation", crop=24)
    assert list(alone) == ["center_crop", "images"]
    assert alone["images"] == both["images"] == 12
    for measure, value in alone["center_crop"].items():
        assert value == pytest.approx(both["center_crop"][measure], rel=1e-5, abs=1e-4)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"classes": ["class1", "class0", "class2"]},
            "class 0 is 'class1', expected 'class0'",
        ),
        ({"classes": ["class0", "class1"]}, "2 classes, expected 3"),
        ({"size": 48}, "has images of 48 pixels, and the net was trained on 32"),
    ],
)
def test_images_that_the_net_cannot_be_measured_on_are_refused(
    small_dataset, trained_run, tmp_path, change, message
):
    net = trained.read_trained_net(trained_run)
    assert evaluator.dataset_of(net) == small_dataset
    shutil.copytree(small_dataset.path, tmp_path / "other")
    description = tmp_path / "other/dataset.json"
    described = json.loads(description.read_text())
    description.write_text(json.dumps(described | change))
    with pytest.raises(ValueError, match=message):
        evaluator.dataset_of(net, str(tmp_path / "other"))


RESULTS = {
    **{"checkpoint": "runs/x/best/step-200", "step": 200},
    **{"dataset": "data/x", "split": "test", "precision": "float32"},
    "center_crop": {"top1_error": 40.7, "top5_error": 18.25, "loss": 1.75},
    "ten_crop": {"top1_error": 39.0, "top5_error": 16.6, "loss": 1.5},
    "images": 50000,
}


def test_the_table_shows_both_methods_side_by_side_and_what_they_belong_to():
    lines = evaluate.text(RESULTS, "table", 1000).splitlines()
    assert lines[0] == "runs/x/best/step-200 (step 200), test split of data/x"
    assert lines[1].split() == ["50,000", "images", "center", "crop", "ten", "crops"]
    assert lines[2].split() == ["top-1", "error,", "%", "40.70", "39.00"]
    assert lines[3].split() == ["top-5", "error,", "%", "18.25", "16.60"]


@pytest.mark.parametrize(("classes", "shown"), [(2, False), (5, False), (6, True)])
def test_a_table_has_a_top5_error_if_it_can_differ_from_0(classes, shown):
    each = {method: RESULTS[method] for method in ("center_crop", "ten_crop")}
    several = {
        **{"dataset": "data/x", "split": "test", "images": 7, "weights_search": None},
        **{"mean": each, "average": each},
        "nets": [{"checkpoint": "a", "step": 1, "coefficient": 0.5, **each}] * 2,
    }
    for table in (
        evaluate.text(RESULTS, "table", classes),
        evaluate.ensemble_text(several, "table", classes),
    ):
        assert ("top-5" in table) == ("18.25" in table) == shown
        assert "40.70" in table
        assert "1.75" in table


def test_json_and_csv_hold_the_same_numbers():
    assert json.loads(evaluate.text(RESULTS, "json", 5)) == RESULTS
    header, center, ten = evaluate.text(RESULTS, "csv", 5).splitlines()
    assert header == ",top1_error,top5_error,loss,checkpoint,step,dataset,split"
    of = "runs/x/best/step-200,200,data/x,test"
    assert center == f"center_crop,40.7,18.25,1.75,{of}"
    assert ten == f"ten_crop,39,16.6,1.5,{of}"


@pytest.mark.parametrize("named", ["", "best", "checkpoints", "prefix", "index"])
def test_a_checkpoint_is_named_in_many_ways_and_the_result_says_which_it_is(
    trained_run, capsys, named
):
    newest = checkpoint_files.newest_checkpoint(trained_run / "checkpoints")
    best = checkpoint_files.newest_checkpoint(trained_run / "best")
    asked = {"prefix": newest, "index": f"{newest}.index"}.get(
        named, str(trained_run / named)
    )
    chosen = options.replace(
        evaluate.OPTIONS(), checkpoint=asked, precision="float32", format="json"
    )
    evaluate.main(chosen, [])
    printed = json.loads(capsys.readouterr().out)
    assert printed["checkpoint"] == (best if named == "best" else newest)
    assert printed["step"] == checkpoint_files.step_of(printed["checkpoint"])
    assert printed == json.loads((trained_run / "evaluation.json").read_text())


def test_a_split_with_an_empty_name_is_not_the_default(trained_run):
    with pytest.raises(ValueError, match="has no split ''"):
        evaluate.main(
            options.replace(evaluate.OPTIONS(), checkpoint=str(trained_run), split=""),
            [],
        )


def test_a_batch_of_fewer_views_than_an_image_has_changes_nothing(small_dataset, net):
    measure = evaluator.Evaluation(net)
    one, other = (
        measure(small_dataset, "validation", crop=24, batch_size=size)
        for size in (1, 120)
    )
    assert one["images"] == other["images"] == 12
    assert one["ten_crop"]["loss"] == pytest.approx(other["ten_crop"]["loss"])


def test_top_five_of_seven_classes_counts_five():
    scores = [0.3, 0.2, 0.15, 0.12, 0.1, 0.08, 0.05]
    assert [credit(scores, label, 5) for label in range(7)] == [1, 1, 1, 1, 1, 0, 0]
    tied = [0.3, 0.2, 0.15, 0.12, 0.08, 0.08, 0.07]  # two share the fifth place
    assert [credit(tied, label, 5) for label in range(7)] == [1, 1, 1, 1, 0.5, 0.5, 0]


def test_the_command_evaluates_a_run_and_writes_its_errors(trained_run):
    done = commands.run(
        *("evaluate", f"--checkpoint={trained_run}", "--format=json"),
        "--precision=float32",
    )
    assert done.returncode == 0, done.stderr[-2000:]
    printed = json.loads(done.stdout)
    written = json.loads((trained_run / "evaluation.json").read_text())
    for method in ("center_crop", "ten_crop"):
        assert written[method] == printed[method]
        assert 0 <= printed[method]["top1_error"] <= 100
    assert written["images"] == 12
    assert written["split"] == "validation"


def test_a_missing_checkpoint_is_reported_in_one_line(tmp_path):
    done = commands.run("evaluate", f"--checkpoint={tmp_path}")
    assert done.returncode == 1
    assert "holds no checkpoint" in done.stderr
    assert "Traceback" not in done.stderr
