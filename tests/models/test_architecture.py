"""The architectures against the numbers that are known of them.

The numbers are the paper's, or computed by hand from its section 3.5. None of them was
copied from the output of the code under test.
"""

import dataclasses
import json
import math

import hypothesis
import pytest
from hypothesis import strategies as st

from alexnet_tf.models import architecture, architecture_json, zoo
from alexnet_tf.models.zoo import ARCHITECTURES, CUDA_CONVNET, PAPER

# The AlexNets of other libraries are in test_family.py, and the last two are not AlexNets.
OTHERS = ("caffe_alexnet", "caffenet", "torchvision", "small", "figure1")
ALEXNETS = [
    net
    for name, net in ARCHITECTURES.items()
    if "cifar" not in name and name not in OTHERS
]
TWO_TOWERS = [net for net in ALEXNETS if net.name != "one_gpu"]


def name_of(net):
    return net.name


def weighted(net):
    """The layers that have weights, by name."""
    return {x.name: x for x in net.layers if isinstance(x, architecture.Weighted)}


def chain(net):
    """The layers in order: names of those with weights, types of the others."""
    return [
        x.name if isinstance(x, architecture.Weighted) else type(x).__name__
        for x in net.layers
    ]


def kinds(net, kind):
    return [layer for layer in net.layers if isinstance(layer, kind)]


def sides(net):
    """The sides of the maps, from the first layer to the last, without repetitions."""
    found = []
    for extent in architecture.extents(net):
        if len(extent.shape) == 3 and found[-1:] != [extent.shape[0]]:
            found.append(extent.shape[0])
    return found


# conv: kernel size, stride, padding, filters, side of its map, channels of one kernel
PAPER_CONVOLUTIONS = {
    "conv1": (11, 4, (0, 3), 96, 55, 3),
    "conv2": (5, 1, (2, 2), 256, 27, 48),
    "conv3": (3, 1, (1, 1), 384, 13, 256),
    "conv4": (3, 1, (1, 1), 384, 13, 192),
    "conv5": (3, 1, (1, 1), 256, 13, 192),
}
PAPER_PARAMETERS = {
    "conv1": 34_944,
    "conv2": 307_456,
    "conv3": 885_120,
    "conv4": 663_936,
    "conv5": 442_624,
    "fc6": 37_752_832,
    "fc7": 16_781_312,
    "fc8": 4_097_000,
}


@pytest.mark.parametrize("name", PAPER_CONVOLUTIONS)
def test_the_papers_convolutions_are_those_of_section_3_5(name):
    size, stride, padding, filters, side, seen = PAPER_CONVOLUTIONS[name]
    layer = weighted(PAPER)[name]
    assert (layer.kernel_size, layer.stride, layer.padding) == (size, stride, padding)
    assert layer.filters == filters
    (extent,) = [e for e in architecture.extents(PAPER) if e.name == name]
    assert extent.shape == (side, side, filters)
    assert extent.parameters == size * size * seen * filters + filters
    assert extent.multiply_adds == size * size * seen * filters * side * side


def test_the_papers_parameters_layer_by_layer():
    found = {e.name: e.parameters for e in architecture.extents(PAPER) if e.parameters}
    assert found == PAPER_PARAMETERS


@pytest.mark.parametrize(
    ("name", "parameters"),
    [
        ("paper", 60_965_224),
        ("cuda_convnet", 60_965_224),
        ("one_gpu", 59_798_312),
        ("no_lrn", 60_965_224),
        ("pool2x2", 60_965_224),
        ("conv6", 60_965_224 + 3 * 3 * 256 * 256 + 256),
        ("cifar10_11pct", 2_112_970),
        ("cifar10_11pct_no_lrn", 2_112_970),
        ("cifar10_13pct", 1_116_490),
    ],
)
def test_the_number_of_parameters_of_every_network(name, parameters):
    assert architecture.parameters(ARCHITECTURES[name]) == parameters


def test_biases_and_weights_add_up_to_all_parameters():
    biases = sum(
        layer.filters if isinstance(layer, architecture.Convolution) else layer.units
        for layer in weighted(PAPER).values()
    )
    assert (biases, 60_965_224 - biases) == (10_568, 60_954_656)


def test_undivided_the_papers_network_has_62_378_344_parameters():
    whole = dataclasses.replace(PAPER, towers=1)
    assert architecture.parameters(whole) == 62_378_344


def test_multiply_adds_of_the_papers_network():
    costs = {
        e.name: e.multiply_adds for e in architecture.extents(PAPER) if e.multiply_adds
    }
    assert costs == {
        "conv1": 105_415_200,
        "conv2": 223_948_800,
        "conv3": 149_520_384,
        "conv4": 112_140_288,
        "conv5": 74_760_192,
        "fc6": 37_748_736,
        "fc7": 16_777_216,
        "fc8": 4_096_000,
    }
    assert architecture.multiply_adds(PAPER) == 724_406_816


def test_training_flop_does_not_count_a_gradient_of_the_image():
    # Per multiply-add 2 forward and 4 backward, except for conv1's input gradient.
    expected = 6 * 724_406_816 - 2 * 105_415_200
    assert architecture.training_flop(PAPER) == expected


def test_neurons_are_those_of_figure_2():
    neurons = {
        e.name: math.prod(e.shape) for e in architecture.extents(PAPER) if e.parameters
    }
    assert list(neurons.values()) == [
        290_400,  # the figure's 253,440 is 55 x 48 x 96: a slip
        186_624,
        64_896,
        64_896,
        43_264,
        4096,
        4096,
        1000,
    ]
    assert sum(neurons.values()) == 659_272  # "650,000 neurons"
    assert neurons["conv1"] // 55 * 48 == 253_440
    assert PAPER.input_size**2 * 3 == 150_528


def test_only_two_convolutions_have_over_one_percent_of_the_parameters():
    share = {
        name: 100 * PAPER_PARAMETERS[name] / architecture.parameters(PAPER)
        for name in PAPER_CONVOLUTIONS
    }
    assert [name for name in share if share[name] > 1] == ["conv3", "conv4"]
    assert (round(share["conv3"], 2), round(share["conv4"], 2)) == (1.45, 1.09)


MIDDLE = ["conv3", "Relu", "conv4", "Relu", "conv5", "Relu", "MaxPool"]
HEAD = ["fc6", "Relu", "Dropout", "fc7", "Relu", "Dropout", "fc8"]
LRN, SPATIAL = "ResponseNormalization", "SpatialNormalization"
PAPER_FIRST = ["conv1", "Relu", LRN, "MaxPool"]
PAPER_SECOND = ["conv2", "Relu", LRN, "MaxPool"]
PROGRAM_FIRST = ["conv1", LRN, "MaxPool", "Relu"]
PROGRAM_SECOND = ["conv2", "Relu", LRN, SPATIAL, "MaxPool"]
NO_LRN_BEGINNING = ["conv1", "MaxPool", "Relu", "conv2", "Relu", "MaxPool"]
CIFAR = ["conv1", "Relu", "MaxPool", LRN, "conv2", "Relu", LRN, "MaxPool"]
CIFAR += ["local3", "Relu", "local4", "Relu", "fc10"]


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paper", PAPER_FIRST + PAPER_SECOND + MIDDLE + HEAD),
        ("cuda_convnet", PROGRAM_FIRST + PROGRAM_SECOND + MIDDLE + HEAD),
        ("one_gpu", PROGRAM_FIRST + PROGRAM_SECOND + MIDDLE + HEAD),
        ("no_lrn", NO_LRN_BEGINNING + MIDDLE + HEAD),
        ("pool2x2", PROGRAM_FIRST + PROGRAM_SECOND + MIDDLE + HEAD),
        ("conv6", [*PROGRAM_FIRST, *PROGRAM_SECOND, *MIDDLE, "conv6", "Relu", *HEAD]),
        ("cifar10_11pct", CIFAR),
        ("cifar10_11pct_no_lrn", [x for x in CIFAR if x != "ResponseNormalization"]),
        ("cifar10_13pct", [x for x in CIFAR if x != "ResponseNormalization"]),
    ],
)
def test_the_order_of_layers(name, expected):
    assert chain(ARCHITECTURES[name]) == expected


def test_normalization_constants_of_the_paper():
    assert (
        kinds(PAPER, architecture.ResponseNormalization)
        == [architecture.ResponseNormalization(size=5, k=2, alpha=1e-4, beta=0.75)] * 2
    )


@pytest.mark.parametrize("name", ["cuda_convnet", "one_gpu", "pool2x2", "conv6"])
def test_normalization_constants_of_the_2012_program(name):
    net = ARCHITECTURES[name]
    for layer in kinds(net, architecture.ResponseNormalization):
        assert (layer.size, layer.k, layer.beta) == (5, 2, 0.75)
        assert layer.alpha == pytest.approx(2e-5)
    (spatial,) = kinds(net, architecture.SpatialNormalization)
    assert (spatial.size, spatial.k, spatial.beta) == (5, 1, 0.75)
    assert spatial.alpha == pytest.approx(4e-5)


def test_normalization_constants_of_the_cifar_network():
    net = ARCHITECTURES["cifar10_11pct"]
    for layer in kinds(net, architecture.ResponseNormalization):
        assert (layer.size, layer.k, layer.beta) == (9, 1, 0.75)
        assert layer.alpha == pytest.approx(1.1111e-4, rel=1e-4)


@pytest.mark.parametrize("net", ALEXNETS, ids=name_of)
def test_initial_biases_are_one_in_the_layers_that_section_5_names(net):
    ones = {name for name, layer in weighted(net).items() if layer.initial_bias == 1}
    zeros = {name for name, layer in weighted(net).items() if layer.initial_bias == 0}
    assert ones - {"conv6"} == {"conv2", "conv4", "conv5", "fc6", "fc7"}
    assert zeros == {"conv1", "conv3", "fc8"}


@pytest.mark.parametrize("net", ALEXNETS, ids=name_of)
def test_the_2012_program_initializes_conv3_to_conv5_with_larger_weights(net):
    wide = {
        name
        for name, layer in weighted(net).items()
        if layer.standard_deviation == 0.03
    }
    assert wide - {"conv6"} == {"conv3", "conv4", "conv5"}
    rest = [
        layer.standard_deviation
        for name, layer in weighted(net).items()
        if name not in wide
    ]
    assert set(rest) == {0.01}
    assert architecture.PAPER_STANDARD_DEVIATION == 0.01


def test_standard_deviations_and_biases_of_the_cifar_network():
    layers = weighted(ARCHITECTURES["cifar10_11pct"])
    assert {name: layer.standard_deviation for name, layer in layers.items()} == {
        "conv1": 1e-4,
        "conv2": 0.01,
        "local3": 0.04,
        "local4": 0.04,
        "fc10": 0.01,
    }
    assert {layer.initial_bias for layer in layers.values()} == {0.0}


def test_weight_decay_of_every_layer():
    for net in ALEXNETS:
        assert {layer.weight_decay for layer in weighted(net).values()} == {0.0005}
    cifar = weighted(ARCHITECTURES["cifar10_11pct"])
    assert [layer.weight_decay for layer in cifar.values()] == [
        0,
        0,
        0.004,
        0.004,
        0.01,
    ]
    thirteen = weighted(ARCHITECTURES["cifar10_13pct"])
    assert [layer.weight_decay for layer in thirteen.values()] == [
        0,
        0,
        0.004,
        0.004,
        0.004,
    ]


@pytest.mark.parametrize("net", TWO_TOWERS, ids=name_of)
def test_towers_exchange_only_at_conv3_and_the_dense_layers(net):
    assert net.towers == 2
    both = {name for name, layer in weighted(net).items() if layer.inputs == "both"}
    assert both - {"conv6"} == {"conv3", "fc6", "fc7", "fc8"}
    assert ("conv6" in both) == (net.name == "conv6")
    whole = [x.name for x in kinds(net, architecture.Dense) if not x.split]
    assert whole == ["fc8"]  # it is on the first tower


def test_the_small_net_is_the_papers_with_other_numbers():
    small = ARCHITECTURES["small"]
    assert chain(small) == chain(PAPER)
    assert sides(small) == [28, 14, 7, 3]
    here, there = weighted(small), weighted(PAPER)
    assert [x.inputs for x in here.values()] == [x.inputs for x in there.values()]
    biases = [x.initial_bias for x in there.values()]
    assert [x.initial_bias for x in here.values()] == biases


def test_the_net_of_figure_1_has_four_layers_and_no_regularization():
    net = ARCHITECTURES["figure1"]
    assert list(weighted(net)) == ["conv1", "conv2", "conv3", "fc10"]
    assert {x.weight_decay for x in weighted(net).values()} == {0.0}
    assert not kinds(net, architecture.Dropout)
    assert sides(net) == [32, 16, 8, 4]


def test_one_gpu_has_half_the_kernels_except_in_conv5():
    net = ARCHITECTURES["one_gpu"]
    filters = [layer.filters for layer in kinds(net, architecture.Convolution)]
    assert (net.towers, filters) == (1, [48, 128, 192, 192, 256])
    units = [layer.units for layer in kinds(net, architecture.Dense)]
    assert units == [4096, 4096, 1000]


def test_conv6_reads_both_towers_of_the_last_pooling():
    conv6 = weighted(ARCHITECTURES["conv6"])["conv6"]
    assert (conv6.filters, conv6.kernel_size, conv6.padding) == (256, 3, (1, 1))
    (extent,) = [
        e for e in architecture.extents(ARCHITECTURES["conv6"]) if e.name == "conv6"
    ]
    assert extent.shape == (6, 6, 256)
    assert extent.parameters == 590_080


@pytest.mark.parametrize("net", ALEXNETS, ids=name_of)
def test_dropout_with_rate_one_half_follows_fc6_and_fc7(net):
    order = chain(net)
    places = [i for i, kind in enumerate(order) if kind == "Dropout"]
    assert [order[i - 2] for i in places] == ["fc6", "fc7"]
    assert {layer.rate for layer in kinds(net, architecture.Dropout)} == {0.5}


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("paper", [55, 27, 13, 6]),
        ("cuda_convnet", [55, 27, 13, 6]),
        ("one_gpu", [55, 27, 13, 6]),
        ("no_lrn", [55, 27, 13, 6]),
        ("conv6", [55, 27, 13, 6]),
        ("pool2x2", [55, 28, 26, 13, 11, 6]),
        ("cifar10_11pct", [24, 12, 6]),
        ("cifar10_13pct", [24, 12, 6]),
    ],
)
def test_sides_of_the_maps(name, expected):
    assert sides(ARCHITECTURES[name]) == expected


def test_non_overlapping_pooling_keeps_13_pixels_until_conv5():
    net = ARCHITECTURES["pool2x2"]
    pools = kinds(net, architecture.MaxPool)
    assert pools == [architecture.MaxPool(size=2, stride=2)] * 3
    after = [
        e.shape[0]
        for e in architecture.extents(net)
        if isinstance(e.layer, architecture.Convolution | architecture.MaxPool)
    ]
    assert after == [55, 28, 26, 13, 13, 13, 11, 6]


@pytest.mark.parametrize(
    "net", [net for net in ALEXNETS if net.name != "pool2x2"], ids=name_of
)
def test_pooling_overlaps(net):
    pools = kinds(net, architecture.MaxPool)
    assert pools == [architecture.MaxPool(size=3, stride=2)] * 3


@pytest.mark.parametrize("net", ALEXNETS, ids=name_of)
def test_fc6_reads_9216_units_in_every_alexnet(net):
    assert (net.input_size, net.record_size, net.record_encoding) == (224, 256, "jpeg")
    extents = list(architecture.extents(net))
    fc6 = [extent.name for extent in extents].index("fc6")
    assert math.prod(extents[fc6 - 1].shape) == 9216


def test_the_cifar_network_reads_crops_of_24_pixels_from_raw_records():
    net = ARCHITECTURES["cifar10_11pct"]
    assert (net.input_size, net.record_size, net.record_encoding) == (24, 32, "raw")
    assert (net.towers, net.classes) == (1, 10)


@hypothesis.given(
    size=st.integers(1, 300),
    window=st.integers(1, 12),
    stride=st.integers(1, 5),
    before=st.integers(0, 4),
    after=st.integers(0, 4),
)
@hypothesis.settings(deadline=None)
def test_a_convolution_has_every_position_where_it_fits(
    size, window, stride, before, after
):
    whole = size + before + after
    hypothesis.assume(window <= whole)
    places = [at for at in range(0, whole, stride) if at + window <= whole]
    found = architecture.convolution_output_size(size, window, stride, (before, after))
    assert found == len(places)


@hypothesis.given(st.integers(1, 300), st.integers(1, 12), st.integers(1, 5))
@hypothesis.settings(deadline=None)
def test_pooling_without_ceil_mode_has_every_whole_window(size, window, stride):
    hypothesis.assume(window <= size)
    places = [at for at in range(0, size, stride) if at + window <= size]
    found = architecture.pooling_output_size(size, window, stride, ceil_mode=False)
    assert found == len(places)


@hypothesis.given(st.integers(1, 300), st.integers(1, 12), st.data())
@hypothesis.settings(deadline=None)
def test_pooling_omits_no_pixel_and_has_no_empty_window(size, window, data):
    hypothesis.assume(window <= size)
    stride = data.draw(st.integers(1, window))
    last = (architecture.pooling_output_size(size, window, stride) - 1) * stride
    assert last + window >= size
    assert last < size
    assert last - stride + window < size  # with one window fewer some would be omitted


def test_three_zeros_to_the_right_give_the_2012_programs_55_positions():
    assert architecture.convolution_output_size(224, 11, 4, (0, 3)) == 1 + math.ceil(
        (224 - 11) / 4
    )
    assert architecture.convolution_output_size(224, 11, 4, (0, 0)) == 54


def test_with_classes_changes_only_the_last_layer():
    net = PAPER.with_classes(7)
    assert (net.classes, PAPER.classes) == (7, 1000)
    assert net.layers[:-1] == PAPER.layers[:-1]
    expected = dataclasses.replace(PAPER.layers[-1], units=7)
    assert net.layers[-1] == expected


@pytest.mark.parametrize("classes", [1, 0, -3])
def test_fewer_than_two_classes_are_rejected(classes):
    with pytest.raises(ValueError, match=f"at least 2, got {classes}"):
        PAPER.with_classes(classes)


def test_with_classes_rejects_a_network_that_ends_in_a_map():
    headless = dataclasses.replace(PAPER, layers=PAPER.layers[:4])
    with pytest.raises(ValueError, match="paper does not end in a dense layer"):
        headless.with_classes(10)


def test_with_input_size_resizes_every_map():
    net = PAPER.with_input_size((67, 67, 3))
    assert net.input_size == 67
    assert sides(net) == [15, 7, 3, 1]  # (67 + 3 - 11) / 4 = 14.75
    fewer = (9216 - 256) * 4096
    assert architecture.parameters(net) == 60_965_224 - fewer


@pytest.mark.parametrize(
    "shape", [(224, 225, 3), (224, 224, 1), (224, 224), (3, 224, 224)]
)
def test_an_input_shape_other_than_a_square_rgb_image_is_rejected(shape):
    with pytest.raises(ValueError, match=r"input_shape must be \(side, side, 3\), got"):
        PAPER.with_input_size(shape)


@pytest.mark.parametrize(
    ("side", "where"), [(5, "conv1"), (8, "conv1_maxpool"), (20, "conv5_maxpool")]
)
def test_an_input_that_is_too_small_is_rejected_with_the_layers_name(side, where):
    with pytest.raises(ValueError, match=f"too small .*paper: its layer {where} would"):
        PAPER.with_input_size((side, side, 3))


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_an_architecture_is_found_by_its_name(name):
    assert zoo.find(name).name == name
    assert zoo.find(name).description


def test_an_unknown_name_is_rejected_with_the_known_ones():
    with pytest.raises(ValueError, match="paper, cuda_convnet, one_gpu.*got 'vgg'"):
        zoo.find("vgg")


def test_an_architecture_cannot_be_changed_in_place():
    with pytest.raises(dataclasses.FrozenInstanceError):
        CUDA_CONVNET.towers = 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        CUDA_CONVNET.layers[0].filters = 1


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_every_network_survives_a_round_trip_through_json(name):
    net = ARCHITECTURES[name]
    text = json.dumps(architecture_json.to_json(net))
    assert architecture_json.from_json(json.loads(text)) == net


def test_json_has_the_fields_by_name_and_a_kind_for_every_layer():
    data = architecture_json.to_json(PAPER)
    assert (data["name"], data["input_size"], data["towers"]) == ("paper", 224, 2)
    assert [layer["kind"] for layer in data["layers"][:4]] == [
        "convolution",
        "relu",
        "response_normalization",
        "max_pool",
    ]
    assert data["layers"][0] == {
        "kind": "convolution",
        "name": "conv1",
        "initial_bias": 0.0,
        "standard_deviation": 0.01,
        "weight_decay": 0.0005,
        "inputs": "own",
        "filters": 96,
        "kernel_size": 11,
        "stride": 4,
        "padding": [0, 3],
    }


def test_a_field_with_a_default_may_be_left_out_of_the_json():
    data = architecture_json.to_json(PAPER)
    del data["layers"][0]["weight_decay"]
    assert architecture_json.from_json(data) == PAPER


def changed(**layer):
    """The JSON of the paper's network with changes to its first layer; None removes."""
    data = architecture_json.to_json(PAPER)
    first = {**data["layers"][0], **layer}
    data["layers"][0] = {
        key: value for key, value in first.items() if value is not None
    }
    return data


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (changed(kind="attention"), "layer 0 .*kind must be .*max_pool.*'attention'"),
        (changed(kind=None), "layer 0 of the architecture: kind must be one of"),
        (changed(dilation=2), "layer 0 .*convolution: unknown field 'dilation'"),
        (
            changed(filters=None),
            "layer 0 .*convolution: the field 'filters' is missing",
        ),
        (changed(filters=0), "conv1: filters must be a whole .* at least 1, got 0"),
        (changed(filters="96"), "conv1: filters must be a whole number .*got '96'"),
        (changed(padding=[1]), r"conv1: padding must be \(before, after\).*got \(1,\)"),
        (changed(inputs="all"), "conv1: inputs must be 'own' or 'both', got 'all'"),
        (
            {**changed(), "dropout": "halved"},
            "paper: dropout must be 'original' or 'inverted', got 'halved'",
        ),
        (
            {**changed(), "initialization": "he"},
            "paper: initialization must be 'paper' or .* or 'pytorch', got 'he'",
        ),
        (changed(name="conv2"), "paper: two layers have the name 'conv2'"),
        ([], r"the architecture must be a JSON object, got \[\]"),
        ({**changed(), "depth": 8}, "the architecture: unknown field 'depth'"),
        ({"name": "x"}, "the architecture: the field 'description' is missing"),
        ({**changed(), "layers": "conv1"}, "layers must be a list, got 'conv1'"),
    ],
)
def test_invalid_json_is_rejected_by_the_name_of_what_is_wrong(data, message):
    with pytest.raises(ValueError, match=message):
        architecture_json.from_json(data)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (
            lambda: architecture.Convolution("conv1", filters=0, kernel_size=3),
            "conv1: filters must be a whole number of at least 1, got 0",
        ),
        (
            lambda: architecture.Convolution("c", filters=8, kernel_size=3, stride=0),
            "c: stride must be a whole number of at least 1, got 0",
        ),
        (
            lambda: architecture.UnsharedConvolution("l", filters=8, kernel_size=-1),
            "l: kernel_size must be a whole number of at least 1, got -1",
        ),
        (
            lambda: architecture.Dense("fc", units=0),
            "fc: units must be a whole number of at least 1, got 0",
        ),
        (
            lambda: architecture.Dense("fc", units=2, standard_deviation=-1.0),
            "fc: standard_deviation must be a finite number of at least 0, got -1.0",
        ),
        (
            lambda: architecture.Dense("fc", units=2, initial_bias=math.inf),
            "fc: initial_bias must be a finite number, got inf",
        ),
        (
            lambda: architecture.ResponseNormalization(size=4),
            "ResponseNormalization: size must be odd, got 4",
        ),
        (
            lambda: architecture.ResponseNormalization(inputs="all"),
            "ResponseNormalization: inputs must be 'own' or 'both', got 'all'",
        ),
        (
            lambda: architecture.MaxPool(stride=0),
            "MaxPool: stride must be a whole number of at least 1, got 0",
        ),
        (
            lambda: architecture.MaxPool(ceil_mode=2),
            "MaxPool: ceil_mode must be True or False, got 2",
        ),
        (
            lambda: architecture.Dropout(rate=1.0),
            "Dropout: rate must be below 1, got 1.0",
        ),
        (
            lambda: dataclasses.replace(PAPER, towers=0),
            "paper: towers must be a whole number of at least 1, got 0",
        ),
        (
            lambda: dataclasses.replace(PAPER, towers=5),
            "paper: the 96 outputs of conv1 cannot be divided evenly between 5 towers",
        ),
    ],
)
def test_impossible_values_are_rejected(make, message):
    with pytest.raises(ValueError, match=message):
        make()


def test_a_convolution_needs_its_filters_and_its_kernel_size():
    with pytest.raises(TypeError, match="filters.*kernel_size"):
        architecture.Convolution("conv1")
