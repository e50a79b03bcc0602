"""The update op refuses what no rule is for, and never waits for itself."""

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf import ops
from alexnet_tf.ops import library
from tests.support import programs

IN_OPPOSITE_ORDERS = """
import threading
import tensorflow as tf
from alexnet_tf import ops

one, other = tf.Variable(tf.zeros([4])), tf.Variable(tf.zeros([4]))

def updates(variable, velocity):
    # In a graph of its own, so that Python's lock does not keep the two apart.
    def update(step):
        ops.apply_decayed_momentum(
            variable, velocity, tf.ones([4]),
            learning_rate=0.0, momentum=0.5, weight_decay=0.0,
        )
        return [step + 1]

    @tf.function(autograph=False)
    def graph():
        tf.while_loop(lambda step: step < 100_000, update, [0])

    return graph.get_concrete_function()

threads = [
    threading.Thread(target=updates(*variables), daemon=True)
    for variables in ((one, other), (other, one))
]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
print("both ended")
"""


def test_two_updates_of_the_same_variables_in_opposite_orders_do_not_deadlock(tmp_path):
    path = tmp_path / "program.py"
    path.write_text(IN_OPPOSITE_ORDERS)
    program = programs.Program(path)
    try:
        # The time-out ends only a deadlock: the updates take a few seconds.
        program.wait(timeout_s=600)
    finally:
        program.kill()
    output, errors = program.communicate()
    assert output == "both ended\n", errors[-3000:]


@pytest.mark.parametrize("copied", [False, True])
def test_the_update_is_the_rule_whatever_the_order_of_the_variables(copied):
    # The variables are created in both orders, so that their addresses differ.
    for first in (True, False):
        made = [tf.Variable([2.0, -1.0]) for _ in range(2)]
        variable, velocity = made if first else made[::-1]
        velocity.assign([0.5, 0.5])
        copy = tf.Variable(tf.zeros([2], tf.bfloat16)) if copied else None
        ops.apply_decayed_momentum(
            variable,
            velocity,
            tf.constant([1.0, 2.0]),
            learning_rate=0.5,
            momentum=0.5,
            weight_decay=0.0,
            copy=copy,
        )
        np.testing.assert_array_equal(velocity, [-0.25, -0.75])
        np.testing.assert_array_equal(variable, [1.75, -1.75])
        if copied:
            np.testing.assert_array_equal(tf.cast(copy, tf.float32), variable)


def update(variable, velocity, copies=(), momentum=0.9, weight_decay=0.0):
    library.ops.alexnet_tf_resource_apply_decayed_momentum(
        variable,
        velocity,
        tf.ones([2]),
        0.1,
        list(copies),
        momentum=momentum,
        weight_decay=weight_decay,
    )


@pytest.mark.parametrize(
    ("attributes", "message"),
    [
        ({"momentum": np.nan}, "momentum must be finite and at least 0, got -?nan"),
        ({"momentum": -0.5}, "momentum must be finite and at least 0, got -0.5"),
        ({"weight_decay": np.inf}, "weight_decay must be finite .*, got inf"),
    ],
)
def test_wrong_attributes_of_the_update_are_rejected_by_name(attributes, message):
    variables = [tf.Variable(tf.zeros([2])) for _ in range(2)]
    with pytest.raises(tf.errors.InvalidArgumentError, match=message):
        update(*(v.handle for v in variables), **attributes)
    for variable in variables:
        np.testing.assert_array_equal(variable, [0, 0])


def test_handles_that_are_no_scalars_are_rejected():
    variables = [tf.Variable(tf.zeros([2])) for _ in range(2)]
    one, other = (v.handle for v in variables)
    none = tf.stack([one, other])[:0]
    for handles in ([none, other], [one, none], [one, tf.stack([other])]):
        with pytest.raises(
            tf.errors.InvalidArgumentError, match="scalar|rank 0|Empty resource"
        ):
            update(*handles)
    with pytest.raises(
        tf.errors.InvalidArgumentError, match="scalar|rank 0|Empty resource"
    ):
        update(one, other, [none])
    with pytest.raises(tf.errors.InvalidArgumentError, match="one variable, got 2"):
        update(one, other, [one, one])
