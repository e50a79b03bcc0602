"""One training step, traced once."""

import dataclasses

import keras
import tensorflow as tf

from alexnet_tf.evaluation import metrics
from alexnet_tf.models import layers, towers
from alexnet_tf.training import optimizer, replication, schedule


@dataclasses.dataclass(frozen=True)
class Step:
    """One training step, traced once: batch in, loss, top-1 error and vote out."""

    net: keras.Model
    rule: optimizer.MomentumSGD
    replicas: replication.Replicas = dataclasses.field(
        default_factory=replication.Replicas
    )

    def trace(self, batches: tf.data.Dataset) -> tf.types.experimental.ConcreteFunction:
        """The step for batches of this form: (inputs, labels, rates) -> [3] float32.

        Means over the global batch, and over the processes whether to stop.
        """
        inputs, labels = batches.element_spec
        rate = tf.TensorSpec([], tf.float32)
        return tf.function(self._everywhere).get_concrete_function(
            inputs, labels, schedule.Rates(rate, rate, rate)
        )

    def _everywhere(self, inputs, labels, rates):
        return self.replicas.run(self._step, (inputs, labels), rates)

    def _step(self, batch, rates):
        inputs, labels = batch
        with layers.reading_copies(self.rule.copies):
            logits = tf.cast(self.net(inputs, training=True), tf.float32)
        loss = tf.reduce_mean(
            tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
        )
        read = [self.rule.copies.get(v.path, v) for v in self.net.trainable_variables]
        gradients = towers.colocated_gradients(loss, read)
        error = 100 * (1 - tf.reduce_mean(metrics.credit(logits, labels, 1)))
        statistics = tf.stack([loss, error, self.replicas.vote()])
        *gradients, statistics = self.replicas.mean([*gradients, statistics])
        self.rule.apply(gradients, rates)
        return statistics
