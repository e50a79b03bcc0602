"""A run starts from another net's weights, and its layers learn at rates of their own."""

import dataclasses
import re
import shutil

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import train
from alexnet_tf.data import preparation, sources
from alexnet_tf.models import (
    ablations,
    applications,
    builder,
    checkpoint_files,
    checkpoint_weights,
    layers,
    trained,
    zoo,
)
from alexnet_tf.runtime import options
from alexnet_tf.training import (
    assembly,
    initial_weights,
    train_options,
    training_step,
)
from tests.conftest import write_noisy_images
from tests.support import commands, nets, runs

pytestmark = pytest.mark.usefixtures("random_without_seeds")

NAMES = ("conv1", "conv2", "local3", "local4", "fc10")


@pytest.fixture
def chosen(small_dataset, trained_run, tmp_path):
    """A run that starts from another one's weights."""
    return runs.train_options_of(
        small_dataset, tmp_path / "run", weights=str(trained_run), max_steps=2
    )


@pytest.fixture(scope="module")
def other_classes(tmp_path_factory):
    """Images of three classes, of which one is not in `small_dataset`."""
    root = tmp_path_factory.mktemp("other")
    for split, each in (("train", 8), ("validation", 4)):
        write_noisy_images(root / split, each=each)
        (root / split / "class2").rename(root / split / "class7")
    source = sources.open_source(f"folder:{root}")
    output = tmp_path_factory.mktemp("data") / "other"
    return preparation.prepare_dataset(source, output, size=32, encoding="raw")


def weights_of(path):
    prefix = checkpoint_files.locate_checkpoint(path)[1]
    return checkpoint_weights.read_weights(prefix)


def model_weights(assembled):
    found = checkpoint_weights.weights_by_path(assembled.trainer.net)
    return {path: variable.numpy() for path, variable in found.items()}


def test_a_net_for_the_same_classes_takes_every_layer(chosen, trained_run):
    assembled = assembly.assemble(chosen)
    assert assembled.taken.layers == NAMES
    assert not assembled.taken.new
    before, taken = weights_of(trained_run), model_weights(assembled)
    assert before.keys() == taken.keys()
    for path, values in taken.items():
        np.testing.assert_array_equal(values, before[path])
    assert not any(v.numpy().any() for v in assembled.trainer.rule.velocities)
    assert assembled.trainer.state.step == 0


def test_the_classifier_of_other_classes_is_new_even_if_there_are_as_many(
    chosen, trained_run, other_classes
):
    assembled = assembly.assemble(
        options.replace(chosen, dataset=str(other_classes.path))
    )
    assert assembled.taken.layers == NAMES[:-1]
    assert str(assembled.taken) == (
        'conv1 to local4 taken; fc10 is new (3 other classes there, without "class7")'
    )
    fresh = assembly.assemble(
        options.replace(chosen, weights=None, dataset=str(other_classes.path))
    )
    taken, random = model_weights(assembled), model_weights(fresh)
    np.testing.assert_array_equal(taken["fc10/kernel"], random["fc10/kernel"])
    assert (taken["conv1/kernel"] != random["conv1/kernel"]).any()


def test_the_classes_in_another_order_make_a_new_classifier(chosen, trained_run):
    initial = initial_weights.read(trained_run)
    assembled = assembly.assemble(options.replace(chosen, weights=None))
    names = initial.class_names[::-1]
    taken = initial_weights.take(
        initial, assembled.trainer.net, assembled.trained.architecture, names
    )
    assert taken.new == {"fc10": "the classes have another order there"}


def test_the_mean_image_comes_with_the_weights(chosen, trained_run):
    net = trained.read_trained_net(trained_run)
    mean = np.full_like(net.mean, 50)
    initial = dataclasses.replace(initial_weights.read(trained_run), mean=mean)
    described = assembly._describe(
        options.replace(chosen, dropout="original"),
        preparation.find_or_prepare(
            chosen.data.dataset, size=32, encoding="raw", data_dir=""
        ),
        net.architecture,
        initial,
    )
    np.testing.assert_array_equal(described.mean, mean)


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """The small net's weights as the files that `export` writes, by suffix."""
    folder = tmp_path_factory.mktemp("files")
    model = applications.AlexNet(architecture="cifar10_11pct", classes=3, seed=5)
    paths = {}
    for suffix in (".keras", ".weights.h5"):
        paths[suffix] = folder / f"net{suffix}"
        save = model.save if suffix == ".keras" else model.save_weights
        save(paths[suffix])
    values = {v.path: v.numpy() for v in checkpoint_weights.weights_of(model)}
    return paths, values


@pytest.mark.parametrize("suffix", [".keras", ".weights.h5"])
def test_files_of_export_are_taken(chosen, files, suffix):
    paths, values = files
    assembled = assembly.assemble(options.replace(chosen, weights=str(paths[suffix])))
    for path, taken in model_weights(assembled).items():
        np.testing.assert_array_equal(taken, values[path])
    notes = " ".join(assembled.taken.notes)
    assert "does not say which classes its last layer is for" in notes
    assert "the file holds no mean image" in notes


def test_weights_of_a_net_of_another_kind_are_said_to_be(chosen):
    assembled = assembly.assemble(
        options.replace(chosen, architecture="cifar10_11pct_no_lrn")
    )
    assert assembled.taken.layers == NAMES
    assert re.search(
        "trained in another net: its architecture is cifar10_11pct, expected "
        "cifar10_11pct_no_lrn: it has .* layers",
        " ".join(assembled.taken.notes),
    )


def test_layers_of_other_shapes_are_new_and_the_reason_is_said(chosen):
    assembled = assembly.assemble(options.replace(chosen, architecture="cifar10_13pct"))
    taken = assembled.taken
    assert taken.layers == ("conv1", "conv2", "fc10")
    there, here = "[6, 6, 576, 64] there", "[6, 6, 576, 32] here"
    assert f"local3 is new (local3/kernel is {there} and {here})" in str(taken)


def test_layers_that_one_of_the_nets_lacks_are_named(trained_run):
    initial = initial_weights.read(trained_run)
    values = dict(initial.weights)
    values |= {
        f"other/{kind}": values.pop(f"fc10/{kind}") for kind in ("kernel", "bias")
    }
    model = applications.AlexNet(architecture="cifar10_11pct", classes=3)
    taken = initial_weights.take(
        dataclasses.replace(initial, weights=values),
        model,
        initial.architecture,
        initial.class_names,
    )
    assert taken.new == {"fc10": "the weights have no such layer"}
    assert taken.unused == ("other",)


def test_weights_that_fit_no_layer_are_refused(trained_run):
    model = nets.small_net()
    initial = initial_weights.read(trained_run)
    with pytest.raises(
        ValueError, match="no layer of .* fits the net small: conv1 is "
    ):
        initial_weights.take(initial, model, nets.SMALL, tuple("abcde"))


def test_the_architecture_and_the_dropout_convention_are_those_of_the_weights():
    found = initial_weights.with_conventions(
        options.replace(train_options.TrainOptions(), weights="x"),
        _initial(zoo.find("caffenet"), "inverted"),
    )
    assert found.net.architecture == "caffenet"
    assert found.net.dropout == "inverted"
    assert found.net.init == zoo.find("caffenet").initialization
    without = initial_weights.with_conventions(train_options.TrainOptions(), None)
    assert without.net.architecture == "cuda_convnet"
    assert without.net.dropout == "original"


def test_another_dropout_convention_than_that_of_the_weights_is_refused():
    chosen = options.replace(
        train_options.TrainOptions(), weights="x", dropout="original"
    )
    initial = _initial(zoo.find("caffenet"), "inverted")
    with pytest.raises(
        ValueError, match="trained with inverted dropout.*--dropout out"
    ):
        initial_weights.with_conventions(chosen, initial)


def test_a_convention_of_weights_without_dropout_is_not_taken_over():
    chosen = options.replace(train_options.TrainOptions(), weights="x")
    small = _initial(zoo.find("cifar10_11pct"), "inverted")
    assert initial_weights.with_conventions(chosen, small).net.dropout == "original"


def test_weights_of_a_net_without_some_of_its_parts_need_its_options():
    net = ablations.ablated(zoo.find("paper"), without=["lrn"])
    chosen = options.replace(train_options.TrainOptions(), weights="x")
    with pytest.raises(
        ValueError, match="is paper-without-lrn: .*--architecture=paper and what"
    ):
        initial_weights.with_conventions(chosen, _initial(net, "original"))
    named = options.replace(chosen, architecture="paper", without=("lrn",))
    found = initial_weights.with_conventions(named, _initial(net, "original"))
    assert train_options.net_of(found.net) == net


def _initial(net, dropout):
    return initial_weights.InitialWeights("x", "0", net, dropout, {}, None, None)


@pytest.mark.parametrize("suffix", [".caffemodel", ".pth", ".onnx", ".npy"])
def test_a_file_of_another_framework_is_refused_with_the_command_that_imports_it(
    chosen, tmp_path, suffix
):
    path = tmp_path / f"net{suffix}"
    path.write_bytes(b"weights")
    with pytest.raises(OSError, match=f"import_weights --from={path} --output=RUN"):
        assembly.assemble(options.replace(chosen, weights=str(path)))


def test_weights_that_are_not_numbers_are_refused(trained_run, monkeypatch):
    read = checkpoint_weights.read_weights

    def broken(prefix):
        found = read(prefix)
        found["fc10/bias"][1] = np.nan
        return found

    monkeypatch.setattr(checkpoint_weights, "read_weights", broken)
    with pytest.raises(ValueError, match="fc10/bias is NaN or infinite"):
        initial_weights.read(trained_run)


def test_a_folder_without_a_run_is_refused(chosen, tmp_path):
    with pytest.raises(
        checkpoint_files.CheckpointError, match="there is no checkpoint"
    ):
        assembly.assemble(options.replace(chosen, weights=str(tmp_path / "missing")))


def test_a_resumed_run_neither_reads_the_weights_again_nor_differs(
    chosen, trained_run, tmp_path, capsys
):
    shutil.copytree(trained_run, tmp_path / "source")
    chosen = options.replace(
        chosen,
        **{"weights": str(tmp_path / "source"), "freeze": ("conv1",)},
        **{"learning_rate_factors": ("fc10:10",), "max_steps": 4},
    )
    train.main(chosen, [])
    assert f"weights of {tmp_path / 'source'}" in capsys.readouterr().err
    parts = options.replace(chosen, run_dir=str(tmp_path / "parts"), max_steps=2)
    train.main(parts, [])
    shutil.rmtree(tmp_path / "source")
    train.main(options.replace(parts, max_steps=4, resume=True), [])
    assert "taken" not in capsys.readouterr().err.split("(resumed)")[1]
    assert runs.same_weights(tmp_path / "run", tmp_path / "parts")
    described = [trained.read_trained_net(tmp_path / name) for name in ("run", "parts")]
    assert described[0].started_from == described[1].started_from
    assert described[0].started_from.path.endswith("source/checkpoints/step-90")


def test_a_run_without_a_checkpoint_begins_again_only_with_the_same_weights(
    chosen, trained_run, tmp_path
):
    shutil.copytree(trained_run, tmp_path / "source")
    chosen = options.replace(chosen, weights=str(tmp_path / "source"))
    train.main(chosen, [])
    shutil.rmtree(tmp_path / "run/checkpoints")
    again = options.replace(chosen, resume=True)
    train.main(again, [])
    shutil.rmtree(tmp_path / "run/checkpoints")
    model = applications.AlexNet(architecture="cifar10_11pct", classes=3)
    model.save_weights(tmp_path / "other.weights.h5")
    record = tmp_path / "run/resolved.flags"
    other = str(tmp_path / "other.weights.h5")
    record.write_text(record.read_text().replace(str(tmp_path / "source"), other))
    with pytest.raises(
        ValueError, match="begun with other weights than .*other.weights"
    ):
        train.main(options.replace(again, weights=other), [])


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"weights": None}, "--weights="),
        ({"freeze": ()}, "--freeze=conv1"),
        ({"learning_rate_factors": ("fc10:2",)}, "--learning_rate_factors=fc10:10"),
    ],
)
def test_what_a_run_starts_from_may_not_change(chosen, tmp_path, change, named):
    chosen = options.replace(
        chosen, freeze=("conv1",), learning_rate_factors=("fc10:10",), resume=True
    )
    (tmp_path / "run").mkdir()
    options.write(tmp_path / "run" / train_options.RECORD, chosen)
    with pytest.raises(ValueError, match=f"was started with {named}"):
        train.main(options.replace(chosen, **change), [])


def test_frozen_layers_stay_and_the_log_says_so(chosen, trained_run, tmp_path):
    chosen = options.replace(chosen, freeze=("conv", "fc10"))
    run = runs.train(chosen, weights=1)
    before, after = weights_of(trained_run), weights_of(tmp_path / "run")
    changed = {
        path.split("/")[0] for path in before if (before[path] != after[path]).any()
    }
    assert changed == {"local3", "local4"}
    assert len(run.rule.velocities) == 4
    logged = runs.log_of(tmp_path / "run", "weights")[-1]
    assert logged["conv1/kernel/update"] == logged["fc10/bias/ratio"] == 0
    assert logged["conv1/kernel/weight"] > 0
    assert logged["local3/kernel/update"] > 0


def gradient_operations(chosen):
    """The types of a step's operations, with their number."""
    run = assembly.assemble(chosen).trainer
    step = training_step.Step(run.net, run.rule).trace(run.batches(0, 1))
    found = {}
    for op in step.graph.get_operations():
        found[op.type] = found.get(op.type, 0) + 1
    return found


def test_nothing_is_computed_backward_below_the_first_layer_that_learns(chosen):
    whole = gradient_operations(chosen)
    upper = gradient_operations(options.replace(chosen, freeze=("conv", "local")))

    def backward(found):
        names = [n for n in found if "Grad" in n or "Backprop" in n or "Decayed" in n]
        return sum(found[name] for name in names)

    assert backward(upper) < backward(whole) / 3
    assert not any("PoolGrad" in name or "Filter" in name for name in upper)


def test_factors_multiply_the_rate_of_their_layers(chosen):
    chosen = options.replace(chosen, max_steps=1, color_noise="none")
    plain = runs.train(chosen)
    factors = ("fc10:10", "conv:0.5", "conv2:3")
    scaled = runs.train(
        options.replace(
            chosen,
            run_dir=f"{chosen.run.run_dir}-scaled",
            learning_rate_factors=factors,
        )
    )
    expected = {"conv1": 0.5, "conv2": 3, "local3": 1, "local4": 1, "fc10": 10}
    # The first update is the learning rate times (gradient + decay of the weights).
    for path, one in plain.rule.velocities_by_path.items():
        factor = expected[path.split("/")[0]]
        np.testing.assert_allclose(
            scaled.rule.velocities_by_path[path], factor * one, rtol=1e-5
        )
        assert tf.reduce_any(one != 0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            {"freeze": ("conv9",)},
            "no layer 'conv9': choose of conv1, .*: conv, local, fc",
        ),
        ({"learning_rate_factors": ("fc8:10",)}, "no layer 'fc8'"),
        ({"freeze": ("conv", "local", "fc10")}, "freezes all layers"),
        (
            {"freeze": ("conv",), "learning_rate_factors": ("conv1:2",)},
            "conv1 is frozen and has a learning rate factor",
        ),
    ],
)
def test_layers_that_cannot_be_meant_are_refused(chosen, change, message):
    with pytest.raises(ValueError, match=message):
        assembly.assemble(options.replace(chosen, **change))


@pytest.mark.parametrize(
    "text", ["fc8", "fc8:", "fc8:0", "fc8:-1", "fc8:inf", "fc8:nan", ":2", "fc8:1:2"]
)
def test_factors_that_cannot_be_read_are_refused(text):
    with pytest.raises(Exception, match="must be LAYER:FACTOR, separated by commas"):
        options.parse(train_options.TrainOptions, [f"--learning_rate_factors={text}"])


def test_a_layer_has_one_factor():
    with pytest.raises(Exception, match="one factor for each name .fc8 has two"):
        options.parse(
            train_options.TrainOptions, ["--learning_rate_factors=fc8:1,fc8:2"]
        )


def test_towers_take_and_freeze_their_own_halves():
    net = dataclasses.replace(
        nets.SMALL,
        layers=tuple(
            dataclasses.replace(each, units=7)
            if getattr(each, "name", "") == "fc8"
            else each
            for each in nets.SMALL.layers
        ),
    )
    source = nets.small_net(seed=3)
    values = {v.path: v.numpy() for v in checkpoint_weights.weights_of(source)}
    initial = initial_weights.InitialWeights(
        "x", "0", nets.SMALL, "original", values, None, None
    )
    model = builder.build(net)
    taken = initial_weights.take(initial, model, net, tuple("abcdefg"))
    assert list(taken.new) == ["fc8"]
    paths = {v.path: v.numpy() for v in checkpoint_weights.weights_of(model)}
    for tower in (0, 1):
        path = f"conv2_tower{tower}/kernel"
        np.testing.assert_array_equal(paths[path], values[path])
    assembly._freeze(model, net, train_options.FineTuningOptions(freeze=("conv2",)))
    learning = {v.path for v in model.trainable_variables}
    assert not any(path.startswith("conv2") for path in learning)
    assert {"conv1_tower0/kernel", "conv3_tower1/bias"} <= learning


def test_copies_of_frozen_kernels_hold_the_weights_that_were_taken():
    source = nets.small_net(seed=3)
    values = {v.path: v.numpy() for v in checkpoint_weights.weights_of(source)}
    initial = initial_weights.InitialWeights(
        "x", "0", nets.SMALL, "original", values, None, None
    )
    model = builder.build(nets.SMALL, precision="bfloat16")
    assembly._freeze(
        model, nets.SMALL, train_options.FineTuningOptions(freeze=("fc6",))
    )
    copies = layers.keep_kernel_copies(model)
    initial_weights.take(initial, model, nets.SMALL, tuple("abcde"))
    assert copies
    assert not any(path.startswith("fc6") for path in copies)
    frozen = model.get_layer("fc6_tower0")
    np.testing.assert_allclose(
        tf.cast(frozen.kernel_copy, tf.float32), values["fc6_tower0/kernel"], rtol=0.01
    )


@pytest.mark.parametrize(
    ("frozen", "factors", "said"),
    [(False, {"fc10": 10.0}, True), (True, {}, False), (False, {"conv": 0.1}, False)],
)
def test_a_first_layer_that_holds_the_scale_of_its_images_is_said_to_learn_faster(
    trained_run, frozen, factors, said
):
    model = applications.AlexNet(architecture="cifar10_11pct", classes=3)
    model.get_layer("conv1").trainable = not frozen
    initial = dataclasses.replace(initial_weights.read(trained_run), deviation=50.0)
    taken = initial_weights.take(
        initial, model, initial.architecture, initial.class_names, factors
    )
    text = "images divided by 50 .* learns 2500 times .*=fc10:10,conv1:0.0004"
    assert bool(re.search(text, " ".join(taken.notes))) == said


def test_only_nets_of_frameworks_that_divide_their_images_hold_a_scale(trained_run):
    net = trained.read_trained_net(trained_run)
    for architecture, form, expected in (
        ("torchvision", "torch", 255 * (0.229 + 0.224 + 0.225) / 3),
        ("torchvision", "alexnet_tf", 1),
        ("caffe_alexnet", "Caffe model", 1),
    ):
        changed = dataclasses.replace(
            net,
            architecture=dataclasses.replace(net.architecture, name=architecture),
            imported=trained.Imported("file", form, "0"),
        )
        assert initial_weights._deviation_of(changed) == pytest.approx(expected)
    assert initial_weights._deviation_of(net) == 1


def test_replicas_start_from_the_same_weights(small_dataset, trained_run, tmp_path):
    flags = runs.train_flags(
        small_dataset,
        tmp_path / "mirrored",
        *("--strategy=mirrored", "--logical_cpus=2", "--validation=never"),
        *(f"--weights={trained_run}", "--freeze=conv1", "--max_steps=1"),
        *("--learning_rate_factors=fc10:10", "--drop_epochs="),
    )
    done = commands.run("train", *flags)
    assert done.returncode == 0, done.stderr[-3000:]
    alone = runs.train_options_of(
        small_dataset,
        tmp_path / "alone",
        weights=str(trained_run),
        freeze=("conv1",),
        learning_rate_factors=("fc10:10",),
        validation="never",
        max_steps=1,
    )
    runs.train(alone)
    before, ours, theirs = (
        weights_of(path)
        for path in (trained_run, tmp_path / "mirrored", tmp_path / "alone")
    )
    np.testing.assert_array_equal(ours["conv1/kernel"], before["conv1/kernel"])
    for path, values in theirs.items():
        np.testing.assert_allclose(ours[path], values, rtol=1e-4, atol=1e-7)
    assert (ours["fc10/kernel"] != before["fc10/kernel"]).any()
