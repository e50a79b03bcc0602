"""One training step, traced once."""

import dataclasses

import keras
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.models import layers, towers
from alexnet_tf.training import optimizer, replication, schedule


@dataclasses.dataclass(frozen=True)
class Step:
    """Forward pass, backward pass and update for one batch.

    Attributes:
        net: a model whose outputs are logits.
        rule: updates the weights of `net`.
        replicas: the copies of `net` that train together; one by default.
    """

    net: keras.Model
    rule: optimizer.MomentumSGD
    replicas: replication.Replicas = dataclasses.field(
        default_factory=replication.Replicas
    )

    def trace(self, batches: tf.data.Dataset) -> tf.types.experimental.ConcreteFunction:
        """Returns the step for batches of the shapes and types that `batches` has.

        It is a function of (inputs, labels, learning rates). It returns float32 [3]:
        the loss and the top-1 error in percent, as means over the global batch, and the
        share of the processes that want to stop.
        """
        inputs, labels = batches.element_spec
        scalar = tf.TensorSpec([], tf.float32)
        return tf.function(
            self._on_all_replicas, autograph=False
        ).get_concrete_function(
            inputs, labels, schedule.LearningRates(scalar, scalar, scalar)
        )

    def _on_all_replicas(self, inputs, labels, learning_rates):
        return self.replicas.run(self._step, (inputs, labels), learning_rates)

    def _step(self, batch, learning_rates):
        inputs, labels = batch
        logits = tf.cast(self.net(inputs, training=True), tf.float32)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )
        gradients = towers.colocated_gradients(
            loss, layers.variables_read_in_training(self.net)
        )
        error = 100 * (1 - tf.reduce_mean(metrics.credit(logits, labels, 1)))
        statistics = tf.stack([loss, error, self.replicas.vote()])
        *gradients, statistics = self.replicas.mean([*gradients, statistics])
        self.rule.apply(gradients, learning_rates)
        return statistics
