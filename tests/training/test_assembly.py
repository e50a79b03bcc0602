"""Every option of `train` reaches the part of the run that it is meant for."""

import dataclasses
import math
import types

import pytest

from alexnet_tf.data import input_pipeline, preparation
from alexnet_tf.evaluation import evaluator
from alexnet_tf.models import builder, layers
from alexnet_tf.runtime import options
from alexnet_tf.training import assembly, schedule, train_options
from tests.support import runs


@pytest.fixture
def chosen(small_dataset, tmp_path):
    return runs.train_options_of(small_dataset, tmp_path / "run")


def recipe(**changes):
    return options.replace(train_options.TrainOptions(), **changes).recipe


def test_the_options_of_the_net_reach_its_builder(chosen, monkeypatch):
    built = {}

    def build(architecture, **arguments):
        built.update(arguments, architecture=architecture)
        return original(architecture, **arguments)

    original = builder.build
    monkeypatch.setattr(builder, "build", build)
    run = assembly.assemble(
        options.replace(
            chosen,
            **{"architecture": "cifar10_13pct", "init": "paper", "lrn": "stock"},
            **{"dropout": "inverted", "winograd": False, "precision": "bfloat16"},
            seed=7,
        )
    )
    assert built["architecture"].name == "cifar10_13pct"
    assert built["architecture"].classes == 3
    expected = {
        **{"initialization": "paper", "lrn": "stock", "dropout": "inverted"},
        **{"winograd": False, "precision": "bfloat16", "seed": 7},
        "devices": ("/CPU:0",),
    }
    assert {name: built[name] for name in expected} == expected
    described = run.trained
    assert (described.dropout, described.precision) == ("inverted", "bfloat16")


def test_the_options_of_the_images_reach_the_input_pipeline(chosen, monkeypatch):
    asked = {}

    def batches(dataset, recipe, **arguments):
        asked.update(arguments, dataset=dataset, recipe=recipe)

    monkeypatch.setattr(input_pipeline, "training_batches", batches)
    assembled = assembly.assemble(
        options.replace(
            chosen,
            **{"batch_size": 6, "seed": 5, "color_noise": "paper", "crop_sharing": 3},
            **{"color_noise_end_epoch": 1.5, "damaged_records": "skip"},
            **{"crops": "center", "mirror": False},
        )
    )
    assembled.trainer.batches(2, 4)
    assert asked == {
        "dataset": assembled.dataset,
        "recipe": input_pipeline.Recipe(6, 24, 5, "paper", 1.5, 3, "center", False),
        **{"first_step": 2, "last_step": 4, "rows": (0, 6), "damaged": "skip"},
    }


def test_what_is_left_out_is_not_in_the_net_and_its_record(chosen):
    changes = {"without": ("lrn", "local4"), "activation": "tanh"}
    assembled = assembly.assemble(
        options.replace(chosen, architecture="cifar10_11pct", **changes)
    )
    described = assembled.trained.architecture
    assert described.name == "cifar10_11pct-without-lrn-local4-tanh"
    names = [layer.name for layer in assembled.trainer.net.layers]
    assert "conv1_tanh" in names
    assert not {"local4", "conv1_relu", "conv1_responsenormalization"} & set(names)
    # The record names the whole net and what is left out, so that a run can be resumed.
    assert assembled.options.net.architecture == "cifar10_11pct"
    assert assembled.options.net.without == ("lrn", "local4")


def test_the_background_of_the_dataset_is_that_of_the_net(
    chosen, small_dataset, monkeypatch
):
    found = dataclasses.replace(small_dataset, background=(1, 2, 3))
    monkeypatch.setattr(preparation, "find_or_prepare", lambda *_, **__: found)
    assert assembly.assemble(chosen).trained.background == (1, 2, 3)


def test_the_resize_rule_of_the_dataset_is_that_of_the_net(
    chosen, small_dataset, monkeypatch
):
    found = dataclasses.replace(small_dataset, resize="squash")
    monkeypatch.setattr(preparation, "find_or_prepare", lambda *_, **__: found)
    assert assembly.assemble(chosen).trained.resize == "squash"


def test_the_options_of_validations_reach_them(chosen, monkeypatch):
    asked = {}

    class Evaluation:
        def __init__(self, net, *, ten_crop):
            asked["ten_crop"] = ten_crop

        def __call__(self, dataset, split, **arguments):
            asked.update(arguments, split=split)
            return {"center_crop": {"top1_error": 12.0}}

    monkeypatch.setattr(evaluator, "Evaluation", Evaluation)
    run = assembly.assemble(options.replace(chosen, damaged_records="skip")).trainer
    assert run.validation(len) == {"top1_error": 12.0}
    assert asked == {
        **{"ten_crop": False, "split": "validation", "crop": 24, "batch_size": 8},
        **{"damaged": "skip", "each_batch": len},
    }


@pytest.mark.parametrize(
    ("changes", "every"),
    [
        ({}, 3),
        ({"validate_epochs": 0.7}, 2),
        ({"validate_epochs": 0.01}, 1),
        ({"validation": "end"}, 6),
        ({"validation": "end", "max_steps": 4}, 4),
    ],
)
def test_validations_are_as_far_apart_as_asked_for(chosen, changes, every):
    run = assembly.assemble(
        options.replace(chosen, log_steps=7, checkpoint_steps=11, **changes)
    ).trainer
    assert run.steps_per_epoch == 3
    assert run.cadence.validation == every
    assert (run.cadence.log, run.cadence.checkpoint) == (7, 11)


def test_a_recipe_by_epochs_makes_that_schedule():
    made = assembly.make_schedule(
        recipe(
            **{"learning_rate": 0.02, "bias_learning_rate_factor": 3.0},
            **{"drop_epochs": (2.0, 4.0), "bias_drop_epochs": (3.0,)},
            **{"conv1_drop_epoch": 5.0, "conv1_freeze_epoch": 6.0},
        )
    )
    assert made == schedule.Epochs(
        0.02,
        (2.0, 4.0),
        bias_factor=3.0,
        bias_drops=(3.0,),
        conv1_drop=5.0,
        conv1_freeze=6.0,
    )


@pytest.mark.parametrize(
    ("scaling", "factor"), [("none", 1), ("linear", 4), ("sqrt", 2)]
)
def test_the_learning_rate_is_scaled_by_the_batch_size(scaling, factor):
    made = assembly.make_schedule(
        recipe(
            **{"learning_rate": 0.01, "learning_rate_scaling": scaling},
            **{"batch_size": 256, "reference_batch_size": 64, "drop_epochs": ()},
        )
    )
    assert made.learning_rates(0.0).weights == pytest.approx(0.01 * factor)


def test_a_plateau_drops_as_often_as_asked_for():
    made = assembly.make_schedule(
        recipe(schedule="plateau", plateau_drops=1, learning_rate=0.01)
    )
    for _ in range(100):
        made.observe(50.0)
    assert made.learning_rates(0.0).weights == pytest.approx(0.001)


def test_the_factor_of_the_biases_holds_under_a_plateau():
    made = assembly.make_schedule(
        recipe(
            **{"schedule": "plateau", "learning_rate": 0.01},
            bias_learning_rate_factor=3.0,
        )
    )
    for weights in (0.01, 0.001):
        found = made.learning_rates(0.0)
        assert (found.weights, found.biases) == pytest.approx((weights, 3 * weights))
        for _ in range(4):
            made.observe(50.0)


@pytest.mark.parametrize("validation", ["end", "never"])
def test_a_plateau_without_validations_is_refused(chosen, validation):
    changed = options.replace(chosen, schedule="plateau", validation=validation)
    with pytest.raises(ValueError, match=r"use --validation=epochs, or --schedule=ep"):
        assembly.assemble(changed)


def test_max_steps_comes_before_epochs(chosen):
    assert assembly.assemble(chosen).trainer.last_step == 6
    longer = options.replace(chosen, max_steps=50)
    assert assembly.assemble(longer).trainer.last_step == 50
    part = options.replace(chosen, epochs=1.1)
    assert assembly.assemble(part).trainer.last_step == math.ceil(1.1 * 3)


@pytest.mark.parametrize(("replicas", "copies"), [(1, ["fc10/kernel"]), (2, [])])
def test_only_a_single_replica_keeps_kernel_copies(chosen, replicas, copies):
    """What replicas exchange stays float32."""
    run = assembly.assemble(options.replace(chosen, precision="bfloat16"))
    for layer in run.trainer.net.layers:
        if isinstance(layer, layers.Dense):
            layer.drop_kernel_copy()
    rule = assembly._make_optimizer(
        chosen,
        run.trained.architecture,
        run.trainer.net,
        types.SimpleNamespace(count=replicas),
    )
    assert list(rule.copies or ()) == copies
