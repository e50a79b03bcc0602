"""Dropout whose mask is a function of the seed and the step."""

from typing import Any, Literal

import keras
import tensorflow as tf

from alexnet_tf.models.layers import arguments

DropoutConvention = Literal["original", "inverted"]


@keras.saving.register_keras_serializable(package="alexnet_tf")
class Dropout(keras.layers.Layer):
    """Dropout whose mask is a function of (seed, step, place in the global batch).

    Paper section 4.2. `convention="original"` is the paper's and the 2012 program's:
    kept activations pass unchanged in training, and all are multiplied by 1 - rate at
    test time. "inverted" is today's: kept activations are divided by 1 - rate in
    training. `step` counts the training calls and belongs in a checkpoint; with it an
    interrupted run draws the masks it would have drawn. Under `tf.distribute` a replica
    has its rows of the mask that one process would have drawn for all.

    Input and output: [N, units].
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
        # A plain variable: checkpoints hold it, and it is no parameter of the net. Under
        # tf.distribute each replica counts for itself.
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
        numbers = _own_rows_of_uniform(tf.shape(inputs), self.seed, step)
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


def _own_rows_of_uniform(shape: tf.Tensor, seed: int, step: tf.Tensor) -> tf.Tensor:
    """A replica's rows of a step's uniform numbers for the global batch: 0 to 1.

    `shape` [2] of the replica's own rows. Philox (Salmon et al., 2011) with `seed` as the
    key; of its 128-bit counter, each value of which makes four numbers, the upper half is
    the step and the lower the place, so that the rows of others are passed over, not
    drawn. `tf.random.stateless_uniform` would make key and counter of the seed on the
    host, and a GPU's step wait for it.
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
        drawn = skipped % 4 + size
    counter = tf.bitcast(tf.stack([skipped // 4, step]), tf.uint64)
    numbers = tf.raw_ops.StatelessRandomUniformV2(
        shape=drawn[None], key=key, counter=counter, alg=philox
    )
    return tf.reshape(numbers[skipped % 4 :], shape)


def set_dropout_step(net: keras.Model, step: int) -> None:
    """Makes every dropout layer of a net draw the masks of step `step` next."""
    for layer in net.layers:
        if isinstance(layer, Dropout):
            layer.step.assign(step)
