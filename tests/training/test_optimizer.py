"""The update rule equals three steps by hand, and Keras' own momentum."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.models import builder, zoo
from alexnet_tf.training import optimizer, schedule

PAPER_LEARNING_RATES = schedule.LearningRates(weights=0.1, biases=0.1, conv1_factor=1.0)
CUDA_CONVNET_LEARNING_RATES = schedule.LearningRates(
    weights=0.1, biases=0.2, conv1_factor=1.0
)


class Net(keras.Model):
    """Two layers whose variables have the names of a model's: conv1 and conv2."""

    def __init__(self, outputs=1, l2=None):
        super().__init__()
        for name in ("conv1_tower0", "conv2_tower0"):
            layer = keras.layers.Dense(outputs, kernel_regularizer=l2, name=name)
            layer.build((None, outputs))
            setattr(self, name, layer)

    @property
    def variables_in_order(self):
        return [*self.conv1_tower0.weights, *self.conv2_tower0.weights]


def variables_at(*values):
    """conv1's kernel and bias, conv2's kernel and bias, scalars at `values`."""
    variables = Net().variables_in_order
    for variable, value in zip(variables, values, strict=True):
        variable.assign(np.full(variable.shape, value))
    return variables


def values(variables):
    return [float(np.squeeze(variable)) for variable in variables]


def apply(rule, gradients, learning_rates):
    kinds = [[[gradients[0]]], [gradients[1]], [[gradients[2]]], [gradients[3]]]
    rule.apply([tf.constant(g, tf.float32) for g in kinds], learning_rates)


def test_weight_decay_enters_the_velocity():
    w, v = optimizer.momentum_step(
        1.0, 0.0, 0.0, learning_rate=0.1, momentum=0.9, weight_decay=0.5
    )
    assert (w, v) == pytest.approx((0.95, -0.05))


def test_the_pure_function_equals_three_steps_by_hand():
    # With learning rate 0.1, momentum 0.5 and weight decay 0.2,
    # v <- v / 2 - w / 50 - gradient / 10.
    w, v = 2.0, 0.0
    w, v = optimizer.momentum_step(
        w, v, 1.0, learning_rate=0.1, momentum=0.5, weight_decay=0.2
    )
    assert (w, v) == pytest.approx((1.86, -0.14))  # 0 - 0.04 - 0.1
    w, v = optimizer.momentum_step(
        w, v, -2.0, learning_rate=0.1, momentum=0.5, weight_decay=0.2
    )
    assert (w, v) == pytest.approx((1.9528, 0.0928))  # -0.07 - 0.0372 + 0.2
    w, v = optimizer.momentum_step(
        w, v, 0.0, learning_rate=0.1, momentum=0.5, weight_decay=0.2
    )
    assert (w, v) == pytest.approx((1.960144, 0.007344))  # 0.0464 - 0.039056


@pytest.mark.parametrize(
    ("learning_rates", "bias_steps"),
    [
        # momentum 0.5, no decay: v = -0.1, -0.05 - 0.1, -0.075 + 0.2
        (PAPER_LEARNING_RATES, (1.9, 1.75, 1.875)),
        # twice the learning rate, twice the steps
        (CUDA_CONVNET_LEARNING_RATES, (1.8, 1.5, 1.75)),
    ],
    ids=["paper", "2012 program"],
)
def test_steps_of_weights_and_biases_equal_those_by_hand(learning_rates, bias_steps):
    variables = variables_at(2, 2, 2, 2)
    rule = optimizer.MomentumSGD(variables, [0.2, 0, 0.2, 0], momentum=0.5)
    # The weights' steps:
    # v = -0.04 - 0.1; -0.07 - 0.0372 - 0.1; -0.1036 - 0.033056 + 0.2
    weight_steps = (1.86, 1.6528, 1.716144)
    for weight, bias, gradient in zip(
        weight_steps, bias_steps, (1, 1, -2), strict=True
    ):
        apply(rule, [gradient] * 4, learning_rates)
        assert values(variables) == pytest.approx([weight, bias] * 2, rel=1e-6)


def test_conv1_has_its_own_learning_rate():
    variables = variables_at(1, 1, 1, 1)
    rule = optimizer.MomentumSGD(variables, [0] * 4)
    apply(rule, [1] * 4, schedule.LearningRates(0.1, 0.2, conv1_factor=0.1))
    assert values(variables) == pytest.approx([0.99, 0.98, 0.9, 0.8])


def test_with_learning_rate_zero_only_the_momentum_remains():
    variables = variables_at(1, 1, 1, 1)
    rule = optimizer.MomentumSGD(variables, [0.5] * 4)
    for factor in (1.0, 0.0):
        apply(rule, [1, 0, 0, 0], schedule.LearningRates(0.1, 0.1, factor))
    # v = -0.05 - 0.1, then 0.9 of it: frozen conv1 coasts.
    assert values(variables)[0] == pytest.approx(1 - 0.15 - 0.135)


def test_the_rule_in_place_equals_the_pure_function():
    rng = np.random.default_rng(0)
    variables = variables_at(*rng.normal(size=4))
    pure = [(w, 0.0) for w in values(variables)]
    decays = [0.0005, 0, 0.1, 0]
    rule = optimizer.MomentumSGD(variables, decays)
    for _ in range(5):
        gradients = rng.normal(size=4)
        apply(rule, gradients, CUDA_CONVNET_LEARNING_RATES)
        pure = [
            optimizer.momentum_step(
                w, v, g, learning_rate=learning_rate, momentum=0.9, weight_decay=decay
            )
            for (w, v), g, learning_rate, decay in zip(
                pure, gradients, (0.1, 0.2, 0.1, 0.2), decays, strict=True
            )
        ]
        assert values(variables) == pytest.approx([w for w, _ in pure], rel=1e-5)
        assert values(rule.velocities) == pytest.approx([v for _, v in pure], rel=1e-4)


@pytest.mark.parametrize(
    "dtype", [tf.float32, tf.bfloat16], ids=["float32", "bfloat16"]
)
def test_the_op_equals_the_pure_function(dtype):
    rng = np.random.default_rng(0)
    shape = (
        70,
        1001,
    )  # more than one thread's share, and not a multiple of the vector length
    w, v, g = (np.float32(rng.normal(size=shape)) for _ in range(3))
    variable, velocity = tf.Variable(w), tf.Variable(v)
    gradient = tf.cast(g, dtype)
    constants = {"learning_rate": 0.1, "momentum": 0.9, "weight_decay": 0.01}
    ops.apply_decayed_momentum(variable, velocity, gradient, **constants)
    new_w, new_v = optimizer.momentum_step(
        w.astype(np.float64), v, tf.cast(gradient, tf.float32).numpy(), **constants
    )
    np.testing.assert_allclose(variable, new_w, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(velocity, new_v, rtol=1e-5, atol=1e-6)


def test_a_value_read_before_the_step_does_not_change():
    variable, velocity = tf.Variable([1.0, 2.0]), tf.Variable([0.0, 0.0])

    @tf.function
    def step():
        before = variable.read_value()
        ops.apply_decayed_momentum(
            variable,
            velocity,
            tf.ones(2),
            learning_rate=0.5,
            momentum=0.0,
            weight_decay=0.0,
        )
        return before, variable.read_value()

    before, after = step()
    np.testing.assert_array_equal(before, [1, 2])
    np.testing.assert_array_equal(after, [0.5, 1.5])


@pytest.mark.parametrize(
    ("velocity", "gradient", "learning_rate", "message"),
    [
        (tf.zeros(3), tf.zeros(2), 0.1, "must have the same shape"),
        (tf.zeros(2), tf.zeros([2, 1]), 0.1, "must have the same shape"),
        (tf.zeros(2), tf.zeros(2), [0.1], "learning_rate must be a scalar"),
    ],
)
def test_the_op_rejects_wrong_shapes(velocity, gradient, learning_rate, message):
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        ops.apply_decayed_momentum(
            tf.Variable(tf.zeros(2)),
            tf.Variable(velocity),
            gradient,
            learning_rate=learning_rate,
            momentum=0.9,
            weight_decay=0.0,
        )


def test_the_op_rejects_a_variable_of_another_type():
    double = tf.Variable(np.zeros(2))
    with pytest.raises(
        tf.errors.FailedPreconditionError, match="initialized float variable"
    ):
        ops.apply_decayed_momentum(
            double,
            tf.Variable(tf.zeros(2)),
            tf.zeros(2),
            learning_rate=0.1,
            momentum=0.9,
            weight_decay=0,
        )


def test_a_gradient_cast_to_float32_reaches_the_op_in_bfloat16():
    variable = keras.Variable(np.ones(4, np.float32), name="kernel")
    rule = optimizer.MomentumSGD([variable], [0.1])

    @tf.function
    def step(narrow):
        rule.apply([tf.cast(narrow, tf.float32)], PAPER_LEARNING_RATES)

    graph = step.get_concrete_function(tf.TensorSpec([4], tf.bfloat16)).graph
    (op,) = (op for op in graph.get_operations() if "Momentum" in op.type)
    assert op.inputs[2].dtype == tf.bfloat16
    step(tf.constant([1, 2, 3, 4], tf.bfloat16))
    assert variable.numpy() == pytest.approx(1 - 0.1 * (np.arange(1, 5) + 0.1))


def test_tensorflows_own_operations_take_the_same_step():
    rng = np.random.default_rng(0)
    found = []
    start = rng.normal(size=(2, 5)).astype(np.float32)
    for step in (ops.apply_decayed_momentum, optimizer._step_in_stock_ops):
        variable, velocity = tf.Variable(start[0]), tf.Variable(start[1])
        for _ in range(3):
            step(
                variable,
                velocity,
                tf.ones(5),
                learning_rate=0.1,
                momentum=0.9,
                weight_decay=0.01,
            )
        found.append((variable.numpy(), velocity.numpy()))
    np.testing.assert_allclose(*found, rtol=1e-6)


def test_keras_momentum_with_half_the_weight_decay_as_l2_is_the_same_rule():
    ours, theirs = Net(3), Net(3, l2=keras.regularizers.L2(2.5e-4))
    for mine, other in zip(
        ours.variables_in_order, theirs.variables_in_order, strict=True
    ):
        start = np.random.default_rng(mine.shape[0]).normal(size=mine.shape) + 1
        mine.assign(start)
        other.assign(start)
    x = tf.constant(np.random.default_rng(1).normal(size=(8, 3)), tf.float32)

    def gradients(net, regularized):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(tf.square(net.conv2_tower0(net.conv1_tower0(x)) - 1))
            if regularized:
                layers = (net.conv1_tower0, net.conv2_tower0)
                loss += sum(layer.losses[0] for layer in layers)
        variables = [variable.value for variable in net.variables_in_order]
        return tape.gradient(loss, variables)

    rule = optimizer.MomentumSGD(ours.variables_in_order, [5e-4, 0, 5e-4, 0])
    stock = keras.optimizers.SGD(0.1, momentum=0.9)
    for learning_rate in (0.1, 0.1, 0.1, 0.01, 0.01, 0.01):
        learning_rates = schedule.LearningRates(learning_rate, learning_rate, 1.0)
        rule.apply(gradients(ours, False), learning_rates)
        stock.learning_rate = learning_rate
        stock.apply(gradients(theirs, True), theirs.variables_in_order)
        for mine, other in zip(
            ours.variables_in_order, theirs.variables_in_order, strict=True
        ):
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-7)


def test_a_traced_step_accepts_learning_rates_as_tensors():
    variables = variables_at(1, 1, 1, 1)
    rule = optimizer.MomentumSGD(variables, [0] * 4)

    @tf.function
    def step(learning_rates):
        rule.apply([tf.ones(v.shape) for v in variables], learning_rates)

    step(schedule.LearningRates(0.1, 0.2, 0.5).tensors())
    assert values(variables) == pytest.approx([0.95, 0.9, 0.9, 0.8])


def test_velocities_are_zero_at_first_and_on_their_variables_devices():
    variables = variables_at(1, 2, 3, 4)
    rule = optimizer.MomentumSGD(variables, [0] * 4)
    assert values(rule.velocities) == [0] * 4
    places = [variable.value.device for variable in variables]
    assert [velocity.device for velocity in rule.velocities] == places


def test_the_velocities_are_the_rules_variables():
    rule = optimizer.MomentumSGD(variables_at(1, 2, 3, 4), [0] * 4)
    assert len(rule.variables) == 4


def test_every_variable_needs_a_weight_decay():
    with pytest.raises(
        ValueError, match="4 variables need as many weight decays, got 3"
    ):
        optimizer.MomentumSGD(variables_at(1, 2, 3, 4), [0] * 3)


@pytest.fixture(scope="module")
def cifar_variables():
    net = builder.build(zoo.find("cifar10_11pct"))
    return net.trainable_variables


def test_weight_decays_are_those_of_the_layers_and_biases_have_none(cifar_variables):
    net = zoo.find("cifar10_11pct")
    decays = optimizer.weight_decays_of(net, cifar_variables)
    found = {v.path: d for v, d in zip(cifar_variables, decays, strict=True)}
    assert found == {
        "conv1/kernel": 0,
        "conv2/kernel": 0,
        "local3/kernel": 0.004,
        "local4/kernel": 0.004,
        "fc10/kernel": 0.01,
    } | {f"{layer}/bias": 0 for layer in ("conv1", "conv2", "local3", "local4", "fc10")}


def test_one_weight_decay_may_replace_those_of_all_layers_but_biases(cifar_variables):
    net = zoo.find("cifar10_11pct")
    decays = optimizer.weight_decays_of(net, cifar_variables, 0.0)
    assert set(decays) == {0.0}
    decays = optimizer.weight_decays_of(net, cifar_variables, 0.002)
    kinds = [v.path.split("/")[-1] for v in cifar_variables]
    assert decays == [0.002 if kind == "kernel" else 0 for kind in kinds]


def test_layers_of_two_towers_have_the_weight_decay_of_their_layer():
    decays = optimizer.weight_decays_of(zoo.find("paper"), variables_at(1, 1, 1, 1))
    assert decays == [0.0005, 0, 0.0005, 0]


@pytest.mark.parametrize(
    "dtype", [tf.float32, tf.bfloat16], ids=["float32", "bfloat16"]
)
def test_the_copy_is_the_new_variable_rounded_to_bfloat16(dtype):
    rng = np.random.default_rng(0)
    start, gradient = rng.normal(size=(2, 1001)).astype(np.float32)
    found = []
    for copy in (None, tf.Variable(tf.zeros([1001], tf.bfloat16))):
        variable, velocity = tf.Variable(start), tf.Variable(tf.zeros([1001]))
        for _ in range(2):
            ops.apply_decayed_momentum(
                *(variable, velocity, tf.cast(gradient, dtype)),
                **{
                    "learning_rate": 0.1,
                    "momentum": 0.9,
                    "weight_decay": 0.01,
                    "copy": copy,
                },
            )
        found.append(variable.numpy())
    np.testing.assert_array_equal(*found)
    np.testing.assert_array_equal(copy, tf.cast(variable, tf.bfloat16))


def test_a_value_read_from_a_copy_does_not_change():
    copy = tf.Variable(tf.ones([4], tf.bfloat16))
    read = copy.read_value()
    ops.apply_decayed_momentum(
        *(tf.Variable(tf.ones(4)), tf.Variable(tf.zeros(4)), tf.ones(4)),
        **{"learning_rate": 0.5, "momentum": 0.9, "weight_decay": 0.0, "copy": copy},
    )
    np.testing.assert_array_equal(tf.cast(read, tf.float32), np.ones(4))
    np.testing.assert_array_equal(tf.cast(copy, tf.float32), np.full(4, 0.5))


@pytest.mark.parametrize(
    ("copy", "error", "message"),
    [
        (tf.zeros([3], tf.bfloat16), tf.errors.InvalidArgumentError, "shape of var"),
        (tf.zeros([4]), tf.errors.FailedPreconditionError, "bfloat16 variable"),
    ],
)
def test_a_copy_of_another_shape_or_type_is_rejected(copy, error, message):
    with pytest.raises(error, match=message):
        ops.apply_decayed_momentum(
            *(tf.Variable(tf.ones(4)), tf.Variable(tf.zeros(4)), tf.ones(4)),
            **{
                "learning_rate": 0.5,
                "momentum": 0.9,
                "weight_decay": 0.0,
                "copy": tf.Variable(copy),
            },
        )


def test_the_variable_itself_is_rejected_as_its_copy():
    variable = tf.Variable(tf.ones(4))
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="other than var and velocity"
    ):
        ops.apply_decayed_momentum(
            *(variable, tf.Variable(tf.zeros(4)), tf.ones(4)),
            **{
                "learning_rate": 0.5,
                "momentum": 0.9,
                "weight_decay": 0.0,
                "copy": variable,
            },
        )


def test_a_step_updates_the_copies_with_their_variables():
    variables = variables_at(1, 2, 3, 4)
    copy = tf.Variable(tf.cast(variables[2].value, tf.bfloat16))
    rule = optimizer.MomentumSGD(variables, [0] * 4, copies={variables[2].path: copy})
    apply(rule, [1] * 4, PAPER_LEARNING_RATES)
    assert values(variables)[2] == pytest.approx(2.9)
    assert values([tf.cast(copy, tf.float32)]) == pytest.approx([2.9], rel=2**-8)


def test_a_copy_of_an_unknown_variable_is_rejected():
    copy = tf.Variable(tf.zeros([1, 1], tf.bfloat16))
    with pytest.raises(ValueError, match="copies of unknown variables: fc6/kernel"):
        optimizer.MomentumSGD(
            variables_at(1, 2, 3, 4), [0] * 4, copies={"fc6/kernel": copy}
        )
