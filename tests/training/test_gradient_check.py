"""Wrong gradients are found in the layer that computes them, and right ones pass."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.models import builder, layers, zoo
from alexnet_tf.ops import lrn
from alexnet_tf.training import gradient_check
from tests.support import wrong_gradients

SIDE = 9


def with_input(layer, *shape):
    """The layer, built for inputs of this shape without the batch."""
    layer(keras.Input(shape))
    return layer


def wrong_variables(found):
    return [check.variable for check in found.checks if not check.correct]


def convolution(**more):
    options = {"explicit_padding": (1, 1), "name": "conv", **more}
    return with_input(layers.Convolution(4, 3, **options), SIDE, SIDE, 3)


def kernel_with(layer, factor):
    """Makes the gradient by the layer's kernel wrong by a factor."""
    wrong = lambda x: tf.nn.bias_add(  # noqa: E731
        tf.nn.conv2d(x, wrong_gradients.scaled(layer.kernel.value, factor), 1, "SAME"),
        layer.bias,
    )
    return wrong_gradients.replace(layer, wrong)


def edge_only(shape, axis, end):
    """Factors of 1, and of 0 at one end of an axis."""
    factor = np.ones(shape, np.float32)
    np.moveaxis(factor, axis, 0)[end] = 0
    return factor


@pytest.mark.parametrize(
    "factor",
    [
        *(2.0, 1.01, 0.0, -1.0),
        *(
            pytest.param(edge_only((3, 3, 3, 4), axis, end), id=f"axis{axis},end{end}")
            for axis in range(4)
            for end in (0, -1)
        ),
    ],
)
def test_a_wrong_kernel_gradient_is_found_and_no_other(factor):
    layer = kernel_with(convolution(), factor)
    assert wrong_variables(gradient_check.check([layer])) == ["kernel"]


def test_a_wrong_gradient_by_the_inputs_of_a_convolution_is_found():
    layer = convolution()

    def without_the_last_row(x):
        kept = tf.concat([x[:, :-1], tf.stop_gradient(x[:, -1:])], 1)
        return tf.nn.bias_add(tf.nn.conv2d(kept, layer.kernel, 1, "SAME"), layer.bias)

    found = gradient_check.check([wrong_gradients.replace(layer, without_the_last_row)])
    assert wrong_variables(found) == ["inputs"]


def test_a_wrong_bias_gradient_is_found():
    layer = with_input(layers.Dense(5, name="fc"), 7)
    wrong_gradients.replace(
        layer,
        lambda x: (
            x @ layer.kernel.value + wrong_gradients.scaled(layer.bias.value, 0.5)
        ),
    )
    assert wrong_variables(gradient_check.check([layer])) == ["bias"]


@pytest.mark.parametrize("convention", ["original", "inverted"])
@pytest.mark.parametrize("factor", [0.5, 2.0])
def test_a_wrong_scale_of_dropout_is_found(convention, factor):
    layer = with_input(layers.Dropout(0.5, convention), 64)
    assert gradient_check.check([layer]).correct
    wrong_gradients.plant(layer, factor)
    assert wrong_variables(gradient_check.check([layer])) == ["inputs"]


def test_a_gradient_for_dropped_units_is_found():
    layer = with_input(layers.Dropout(0.5), 64)
    assert not gradient_check.check(
        [wrong_gradients.replace(layer, lambda x: x)]
    ).correct


def test_a_gradient_for_negative_inputs_of_a_relu_is_found():
    layer = with_input(layers.ReLU(), SIDE, SIDE, 3)
    assert gradient_check.check([layer]).correct
    assert not gradient_check.check(
        [wrong_gradients.replace(layer, lambda x: x)]
    ).correct


def test_a_pooling_with_the_gradient_of_the_average_is_found():
    layer = with_input(layers.CeilMaxPooling2D(3, 2), SIDE, SIDE, 4)
    assert gradient_check.check([layer]).correct
    average = lambda x: tf.nn.avg_pool2d(x, 3, 2, "VALID")  # noqa: E731
    assert not gradient_check.check([wrong_gradients.replace(layer, average)]).correct


@pytest.mark.parametrize("kind", ["LocalResponseNormalization", "SpatialNormalization"])
def test_a_normalization_whose_gradient_lacks_the_second_term_is_found(kind):
    layer = with_input(getattr(layers, kind)(), SIDE, SIDE, 6)
    assert gradient_check.check([layer]).correct
    right = layer.call

    def first_term(x):
        return x * tf.stop_gradient(right(x) / x)

    assert not gradient_check.check(
        [wrong_gradients.replace(layer, first_term)]
    ).correct


def test_a_gradient_that_is_wrong_only_where_it_is_fused_is_found(monkeypatch):
    relu = layers.ReLU(name="relu")
    x = keras.Input((SIDE, SIDE, 6))
    normalization = layers.LocalResponseNormalization(name="lrn")
    model = keras.Model(x, normalization(relu(x)))
    name = "alexnet_tf_local_response_normalization_grad"
    right = getattr(lrn.library.ops, name)

    def wrong(*inputs, **attributes):
        dx = right(*inputs, **attributes)
        return dx * 1.02 if attributes.get("rectified") else dx

    monkeypatch.setattr(lrn.library.ops, name, wrong)
    found = {
        checked.layer: checked.correct
        for checked in map(gradient_check.check, gradient_check.chains_of(model))
    }
    assert found == {"relu": True, "lrn": True, "relu+lrn": False}


def test_weights_are_as_before():
    layer = convolution()
    before = [w.copy() for w in layer.get_weights()]
    gradient_check.check([layer])
    assert all(map(np.array_equal, before, layer.get_weights()))


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_outputs_that_are_not_finite_do_not_pass(value):
    layer = convolution()
    kernel, bias = layer.get_weights()
    kernel[0, 0, 0, 0] = value
    layer.set_weights([kernel, bias])
    found = gradient_check.check([layer])
    assert not found.correct
    assert found.worst.directions == 0


@pytest.mark.parametrize(("lrn", "winograd"), [("op", True), ("stock", False)])
def test_the_nets_for_small_images_pass(lrn, winograd):
    small = gradient_check.narrowed(zoo.find("cifar10_11pct"))
    model = builder.build(small, lrn=lrn, winograd=winograd)
    found = [gradient_check.check(chain) for chain in gradient_check.chains_of(model)]
    assert [checked.layer for checked in found if not checked.correct] == []
    assert [checked.layer for checked in found if "+" in checked.layer] == [
        "conv2_relu+conv2_responsenormalization"
    ]


@pytest.mark.long
@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_every_net_passes(name):
    model = builder.build(gradient_check.narrowed(zoo.find(name)))
    found = [gradient_check.check(chain) for chain in gradient_check.chains_of(model)]
    assert [checked.layer for checked in found if not checked.correct] == []


@pytest.mark.parametrize("name", zoo.ARCHITECTURES)
def test_narrow_nets_keep_what_the_check_is_for(name):
    net = zoo.find(name)
    small = gradient_check.narrowed(net)
    assert [type(layer) for layer in small.layers] == [type(x) for x in net.layers]
    convolutions = [layer for layer in small.layers if hasattr(layer, "filters")]
    by_name = {getattr(layer, "name", None): layer for layer in net.layers}
    for layer in convolutions:
        # From 48 kernels per tower on, training uses Winograd convolution.
        assert layer.filters == min(48 * net.towers, by_name[layer.name].filters)
