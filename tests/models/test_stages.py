"""The stages of a network, against the paper's figure 2 and against the built nets."""

import dataclasses

import keras
import numpy as np
import pytest

from alexnet_tf.models import architecture, builder, layer_outputs, stages, zoo
from tests.support import nets

# Paper, section 3.5 and figure 2. It prints 253,440 for the first layer, which is
# 55 * 48 * 96; its own kernels give 55 * 55 * 96.
PAPER_NEURONS = {
    "conv1": 55 * 55 * 96,
    "conv2": 186_624,
    "conv3": 64_896,
    "conv4": 64_896,
    "conv5": 43_264,
    "fc6": 4_096,
    "fc7": 4_096,
    "fc8": 1_000,
}
# Kernels times (weights of a kernel + 1 bias), by hand from section 3.5.
PAPER_PARAMETERS = {
    "conv1": 96 * (11 * 11 * 3 + 1),
    "conv2": 256 * (5 * 5 * 48 + 1),
    "conv3": 384 * (3 * 3 * 256 + 1),
    "conv4": 384 * (3 * 3 * 192 + 1),
    "conv5": 256 * (3 * 3 * 192 + 1),
    "fc6": 4096 * (6 * 6 * 256 + 1),
    "fc7": 4096 * (4096 + 1),
    "fc8": 1000 * (4096 + 1),
}


def by_name(net):
    return {stage.name: stage for stage in stages.stages_of(net)}


def test_the_papers_net_has_the_neurons_that_the_paper_counts():
    image, *found = stages.stages_of(zoo.PAPER)
    assert image.neurons == 150_528
    assert {stage.name: stage.neurons for stage in found} == PAPER_NEURONS
    assert PAPER_NEURONS["conv1"] == 290_400  # and not 253,440
    total = stages.neurons([image, *found])
    assert total == 659_272
    assert round(total / 50_000) * 50_000 == 650_000  # the paper's abstract


def test_the_papers_net_has_60_million_parameters():
    found = stages.stages_of(zoo.PAPER)[1:]
    assert {stage.name: stage.parameters for stage in found} == PAPER_PARAMETERS
    total = sum(stage.parameters for stage in found)
    assert total == 60_965_224
    assert total // 1_000_000 == 60


def test_the_towers_of_the_papers_net_exchange_where_figure_2_says():
    found = by_name(zoo.PAPER)
    exchanging = [name for name, stage in found.items() if stage.exchanges]
    assert exchanging == ["conv3", "fc6", "fc7", "fc8"]
    assert found["conv1"].sources == ((), ())
    assert found["conv2"].sources == ((0,), (1,))
    assert found["fc6"].sources == ((0, 1), (0, 1))
    assert found["fc8"].sources == ((0, 1),)
    assert {name: stage.towers for name, stage in found.items()} == {
        **dict.fromkeys(found, 2),
        "image": 1,
        "fc8": 1,
    }


def test_a_stage_has_the_steps_that_follow_it_and_their_output():
    found = by_name(zoo.PAPER)
    steps = [stages.step_text(step) for step in found["conv1"].steps]
    assert steps == ["ReLU", "LRN 5", "max pool 3/2"]
    assert found["conv1"].final_shape == (27, 27, 96)
    assert found["conv4"].final_shape == found["conv4"].shape == (13, 13, 384)
    # torchvision drops out before fc6, which is after conv5.
    last = by_name(zoo.TORCHVISION)["conv5"].steps[-1]
    assert stages.step_text(last) == "dropout 0.5"


def test_a_layer_that_spreads_from_the_first_tower_to_all_is_an_exchange():
    dense = architecture.Dense
    net = dataclasses.replace(
        nets.SMALL,
        layers=(
            dense("fc1", units=4),
            dense("fc2", units=4, inputs="both", split=False),
            dense("fc3", units=4),
        ),
    )
    image, one, two, three = stages.stages_of(net)
    assert (one.sources, two.sources) == (((), ()), ((0, 1),))
    assert three.sources == ((0,), (0,))
    assert [stage.exchanges for stage in (image, one, two, three)] == [0, 0, 1, 1]


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_shapes_kernels_and_parameters_are_those_of_the_built_net(name):
    net = zoo.find(name)
    with keras.StatelessScope(initialize_variables=False):  # the weights are not needed
        model = builder.build(net)
    names = layer_outputs.layer_names(model)
    _, *found = stages.stages_of(net)
    assert [stage.name for stage in found] == [n for n in names if "/" not in n]
    for stage in found:
        parts = layer_outputs.weighted_layers(model, stage.name)
        assert len(parts) == stage.towers
        assert names[f"{stage.name}/linear"] == stage.shape
        assert names[stage.name] == stage.final_shape
        assert stage.parameters == sum(part.count_params() for part in parts)
        # A kernel's weights, of all places if it is not shared.
        kernel = parts[0].kernel.shape
        places = kernel[0] * kernel[1] if stage.name.startswith("local") else 1
        assert np.prod(kernel[:-1]) == places * np.prod(stage.kernel)
        assert (
            len(stage.steps) == sum(n.startswith(f"{stage.name}/") for n in names) - 1
        )


def test_a_kind_of_layer_without_words_of_its_own_is_called_by_its_type():
    @dataclasses.dataclass(frozen=True)
    class Mystery:
        pass

    assert stages.step_text(Mystery()) == "mystery"


@pytest.mark.parametrize(
    "net", [nets.SMALL, zoo.find("cifar10_11pct")], ids=lambda net: net.name
)
def test_the_names_of_outputs_are_those_of_the_built_net(net):
    found = layer_outputs.layer_names(builder.build(net))
    names = stages.output_names(net)
    assert list(names) == list(found)
    for name, stage in names.items():
        assert len(stage.shape) == len(found[name])
