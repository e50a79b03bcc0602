"""The paper's net and its training step in plain TensorFlow operations."""

from collections.abc import Callable

import synthetic
import tensorflow as tf

_SHAPES = (
    *((11, 11, 3, 96), (5, 5, 48, 256), (3, 3, 256, 384), (3, 3, 192, 384)),
    *((3, 3, 192, 256), (9216, 4096), (4096, 4096), (4096, 1000)),
)


def build(precision: str, with_lrn: bool) -> tuple[list[tf.Variable], Callable]:
    """Variables, and a function (images, training) -> logits, with grouped kernels."""
    kind = tf.as_dtype(precision)
    random = tf.random.Generator.from_seed(0)
    variables = []
    for shape in _SHAPES:
        variables.append(tf.Variable(0.01 * random.normal(shape)))
        variables.append(tf.Variable(tf.zeros(shape[-1:])))

    def logits(x, training):
        w = [tf.cast(variable, kind) for variable in variables]
        x = tf.cast(tf.cast(x, tf.float32) - 118, kind)
        x = tf.pad(x, [[0, 0], [0, 3], [0, 3], [0, 0]])
        for layer in range(5):
            stride, padding = (4, "VALID") if layer == 0 else (1, "SAME")
            x = tf.nn.conv2d(x, w[2 * layer], stride, padding)
            x = tf.nn.relu(tf.nn.bias_add(x, w[2 * layer + 1]))
            if layer < 2 and with_lrn:
                x = _lrn(x)
            if layer in (0, 1, 4):
                x = tf.nn.max_pool2d(x, 3, 2, "VALID")
        x = tf.reshape(x, [-1, 9216])
        for layer in (5, 6):
            x = tf.nn.relu(x @ w[2 * layer] + w[2 * layer + 1])
            x = tf.nn.dropout(x, 0.5) if training else x
        return tf.cast(x @ w[14] + w[15], tf.float32)

    return variables, logits


def _lrn(x: tf.Tensor) -> tf.Tensor:
    """TensorFlow's LRN, which has no bfloat16 on a CPU: computed in float32."""
    wide = tf.nn.local_response_normalization(
        tf.cast(x, tf.float32), 2, 2.0, 1e-4, 0.75
    )
    return tf.cast(wide, x.dtype)


def training_step(
    precision: str, batch_size: int, with_lrn: bool
) -> Callable[[], object]:
    """A call that makes one training step, with a plain update, and waits for it."""
    variables, logits = build(precision, with_lrn)
    velocities = [tf.Variable(tf.zeros_like(w)) for w in variables]
    inputs, labels = synthetic.images(batch_size)
    images = inputs["image"]

    @tf.function
    def step(x, labels):
        with tf.GradientTape() as tape:
            loss = tf.reduce_mean(
                tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits(x, True))
            )
        gradients = tape.gradient(loss, variables)
        for w, v, g in zip(variables, velocities, gradients, strict=True):
            v.assign(0.9 * v - 0.0005 * 1e-3 * w - 1e-3 * g)
            w.assign_add(v)
        return loss

    return lambda: step(images, labels).numpy()
