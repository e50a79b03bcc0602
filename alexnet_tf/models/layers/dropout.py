"""Dropout whose mask is a function of the seed and the step."""

from typing import Any

import keras
import tensorflow as tf

from alexnet_tf.models import architecture as architectures
from alexnet_tf.models.layers import arguments

DropoutConvention = architectures.DropoutConvention


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Dropout(keras.layers.Layer):
    """Dropout whose mask is a function of (seed, step, place in the global batch).

    Paper, section 4.2. `step` counts the training calls. `set_dropout_step` sets it
    when a run is resumed, so that it draws the same masks as an uninterrupted one. Under
    `tf.distribute`, each replica draws those rows of the mask that a single process
    would have drawn for them.

    Args:
        rate: the probability with which an activation is dropped.
        convention: "original" is that of the paper and the 2012 program: training
            leaves the remaining activations unchanged, and at test time all activations
            are multiplied by 1 - rate. "inverted" is the convention used today:
            training divides the remaining activations by 1 - rate, and test time
            changes nothing.
        seed: of the masks; every layer of a network should have a different one.

    Input and output: [N, units] or [N, H, W, C].

    Raises:
        ValueError: `rate` is not at least 0 and below 1, or `convention` is unknown.

    Example:
        >>> Dropout(0.5)(tf.constant([[2.0, 4.0]])).numpy().tolist()
        [[1.0, 2.0]]
    """

    def __init__(
        self,
        rate: float = 0.5,
        convention: DropoutConvention = "original",
        seed: int = 0,
        **kwargs: Any,
    ):
        super().__init__(**kwargs)
        if not 0 <= rate < 1:
            raise ValueError(f"rate must be at least 0 and below 1, got {rate}")
        self.rate = rate
        self.convention = arguments.one_of(
            "convention", convention, ("original", "inverted")
        )
        self.seed = seed

    def build(self, input_shape):
        # A tf.Variable is not a parameter of the network.
        # Under tf.distribute each replica counts its own steps.
        self.step = tf.Variable(
            0,
            trainable=False,
            dtype=tf.int64,
            name="step",
            synchronization=tf.VariableSynchronization.ON_READ,
            aggregation=tf.VariableAggregation.ONLY_FIRST_REPLICA,
        )

    def call(self, inputs, training=False):
        keep = tf.cast(1 - self.rate, inputs.dtype)
        if not training:
            return inputs * keep if self.convention == "original" else inputs
        step = self.step.read_value()
        numbers = _uniform_rows(tf.shape(inputs), self.seed, step)
        kept = numbers >= self.rate
        with tf.control_dependencies([kept]):
            self.step.assign_add(1)
        dropped = tf.where(kept, inputs, tf.zeros([], inputs.dtype))
        return dropped if self.convention == "original" else dropped / keep

    def compute_output_shape(self, input_shape):
        return input_shape

    def get_config(self) -> dict[str, Any]:
        return super().get_config() | {
            "rate": self.rate,
            "convention": self.convention,
            "seed": self.seed,
        }


def _uniform_rows(shape: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """This replica's rows of uniform numbers in [0, 1), out of the global batch's.

    `shape` [2] is that of this replica's rows. The generator is Philox (Salmon et al.,
    2011) with `seed` as its key. Each value of its 128-bit counter makes four numbers.
    The upper half of the counter is the step and the lower half the place, so a replica
    skips the numbers of the other replicas without drawing them.
    (`tf.random.stateless_uniform` would compute key and counter from the seed on the
    host, and a step on a GPU would wait for that.)
    """
    philox = 1
    key = tf.constant([seed % 2**64], tf.uint64)
    context = tf.distribute.get_replica_context()
    if context is None or context.num_replicas_in_sync == 1:
        counter = tf.bitcast(tf.stack([tf.zeros_like(step), step]), tf.uint64)
        return tf.raw_ops.StatelessRandomUniformV2(
            shape=shape, key=key, counter=counter, alg=philox
        )
    with tf.device("/CPU:0"):
        size = tf.cast(tf.reduce_prod(shape), tf.int64)
        skipped = tf.cast(context.replica_id_in_sync_group, tf.int64) * size
        # TensorFlow compiles int64 division for a GPU at run time, if it can.
        blocks, first = skipped // 4, skipped % 4
        drawn = tf.stack([first + size])
    counter = tf.bitcast(tf.stack([blocks, step]), tf.uint64)
    numbers = tf.raw_ops.StatelessRandomUniformV2(
        shape=drawn, key=key, counter=counter, alg=philox
    )
    return tf.reshape(numbers[first:], shape)


def set_dropout_step(net: keras.Model, step: int) -> None:
    """Makes every dropout layer of a net draw the masks of step `step` next."""
    for layer in net.layers:
        if isinstance(layer, Dropout):
            layer.step.assign(step)
