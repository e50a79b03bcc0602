"""The kernels of a layer as images, against the weights and against numbers by hand."""

import dataclasses

import numpy as np
import pytest

from alexnet_tf.evaluation import kernels
from alexnet_tf.models import architecture, builder, layer_outputs, zoo
from tests.support import arrays, nets


def kernels_of(values, layer="conv1"):
    return kernels.Kernels(layer, np.asarray(values, np.float32))


def test_every_tower_has_its_own_kernels():
    model = nets.small_net()
    found = kernels.read_kernels(model, nets.SMALL)
    assert found.layer == "conv1"
    assert found.values.shape == (2, 11, 11, 3, 3)
    for tower, part in enumerate(nets.towers_of(model, "conv1")):
        np.testing.assert_array_equal(found.values[tower], np.asarray(part.kernel))


def test_a_layer_that_reads_both_towers_has_kernels_with_the_channels_of_both():
    found = kernels.read_kernels(nets.small_net(), nets.SMALL, "conv3")
    assert found.values.shape == (2, 3, 3, 16, 12)


@pytest.mark.parametrize("layer", ["fc6", "own"])
@pytest.mark.parametrize("towers", [1, 2, 4])
def test_a_dense_kernel_gives_the_outputs_as_a_kernel_over_the_whole_map(layer, towers):
    # What the layer computes of its maps is the sum over each kernel's image.
    net = architecture.Architecture(
        name="net",
        description="one convolution and a dense layer on its maps",
        input_size=9,
        record_size=9,
        towers=towers,
        layers=(
            architecture.Convolution("conv1", filters=8, kernel_size=3, stride=2),
            architecture.Dense(
                layer, units=12, inputs="both" if layer == "fc6" else "own"
            ),
            architecture.Dense("fc7", units=3, inputs="both", split=False),
        ),
    )
    model = builder.build(net, seed=3)
    found = kernels.read_kernels(model, net, layer)
    image = nets.random_inputs(1, 9)
    maps = outputs_of(model, "conv1", image)[0]
    expected = outputs_of(model, f"{layer}/linear", image)[0]
    read = [maps] * towers if layer == "fc6" else np.split(maps, towers, axis=-1)
    sums = [
        np.einsum("hwc,hwcu->u", part, values)
        for part, values in zip(read, found.values, strict=True)
    ]
    arrays.assert_equal_to_rounding(np.concatenate(sums), expected)


def outputs_of(model, name, image):
    import keras

    return keras.Model(model.input, layer_outputs.layer_output(model, name)).predict(
        image, verbose=0
    )


def test_kernels_that_differ_by_position_are_those_of_the_middle():
    net = zoo.find("cifar10_13pct")
    model = builder.build(net)
    found = kernels.read_kernels(model, net, "local3")
    kernel = np.asarray(model.get_layer("local3").kernel)  # [6, 6, 3 * 3 * 64, 32]
    assert found.place == (3, 3)
    # Its rows are those of the patch, row by row, column by column, channel by channel.
    assert found.values[0, 1, 2, 5, 7] == kernel[3, 3, (1 * 3 + 2) * 64 + 5, 7]


def test_a_layer_without_images_is_refused_with_the_reason():
    model = nets.small_net()
    with pytest.raises(
        ValueError, match="fc7 reads 24 units.*choose a layer that reads"
    ):
        kernels.read_kernels(model, nets.SMALL, "fc7")
    with pytest.raises(
        ValueError, match="no layer 'conv9'.*choose one of conv1, conv2"
    ):
        kernels.read_kernels(model, nets.SMALL, "conv9")


def test_the_first_layer_is_a_dense_one_if_the_net_has_no_convolution():
    dense = architecture.Dense("fc1", units=4)
    net = dataclasses.replace(nets.SMALL, layers=(dense,), towers=1, input_size=5)
    assert kernels.first_layer(net) == "fc1"
    found = kernels.read_kernels(builder.build(net), net)
    assert found.values.shape == (1, 5, 5, 3, 4)
    assert found.are_colored


def test_zero_is_gray_and_the_largest_magnitude_black_or_white():
    weights = np.array([0.0, -2.0, 1.0]).reshape(1, 1, 1, 3, 1)
    # 127.5 rounds to the even 128; 127.5 * 1.5 = 191.25.
    assert kernels.tiles(kernels_of(weights)).ravel().tolist() == [128, 0, 191]
    channel = kernels.tiles(kernels_of(weights), channel=2)
    assert channel.ravel().tolist() == [191] * 3
    zeros = kernels.tiles(kernels_of(np.zeros((1, 1, 1, 3, 1))))
    assert zeros.ravel().tolist() == [128] * 3


def test_other_channels_than_the_kernels_have_are_refused():
    of_two = kernels_of(np.ones((1, 3, 3, 2, 4)))
    assert kernels.tiles(of_two).shape == (1, 4, 3, 3, 3)
    with pytest.raises(ValueError, match="--channel=2: .* read 2 channels.* 0 to 1"):
        kernels.tiles(of_two, 2)


def test_the_papers_48_kernels_of_a_tower_fill_three_rows_of_16():
    images = np.arange(48, dtype=np.uint8).reshape(48, 1, 1, 1)
    images = np.broadcast_to(images, (48, 11, 11, 3))
    pixels, boxes = kernels.mosaic(images, zoom=4)
    assert pixels.shape == (3 * 48 - 4, 16 * 48 - 4, 3)
    for number, (left, top, right, bottom) in enumerate(boxes):
        assert (right - left, bottom - top) == (44, 44)
        assert (top // 48, left // 48) == divmod(number, 16)
        assert (pixels[top:bottom, left:right] == number).all()
    assert (pixels == kernels.BACKGROUND).sum() == 3 * (140 * 764 - 48 * 44**2)


GRAY = np.array([3.0, 3.0, 3.0])
RED_ALONE = np.array([1.0, 0.0, 0.0])  # (1/3, 1/3, 1/3) + (2/3, -1/3, -1/3): 2/3
OPPONENT = np.array([1.0, -1.0, 0.0])


def test_color_selectivity_is_0_for_gray_kernels_and_1_for_opponent_colors():
    pattern = arrays.noise(11, 11, 1)
    towers = [
        np.stack([pattern * color for color in tower], axis=-1)
        for tower in ((GRAY, GRAY), (OPPONENT, RED_ALONE), (GRAY / 3, OPPONENT))
    ]
    of_towers, of_kernels = kernels.color_selectivity(np.stack(towers))
    np.testing.assert_allclose(of_kernels, [[0, 0], [1, 2 / 3], [0, 1]], atol=1e-12)
    # Squares of 2 + 2/3 of 3, and of 2 of 5.
    np.testing.assert_allclose(of_towers, [0, 8 / 9, 2 / 5], atol=1e-12)


def test_random_kernels_have_a_color_selectivity_of_two_thirds():
    of_towers, _ = kernels.color_selectivity(arrays.noise(2, 11, 11, 3, 48))
    np.testing.assert_allclose(of_towers, 2 / 3, atol=0.01)


def test_kernels_of_zeros_have_a_color_selectivity_of_0():
    of_towers, of_kernels = kernels.color_selectivity(np.zeros((1, 2, 2, 3, 4)))
    assert of_towers.tolist() == [0]
    assert of_kernels.tolist() == [[0] * 4]
