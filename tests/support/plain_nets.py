"""The AlexNets of Caffe and torchvision, written plainly in TensorFlow's operations.

Nothing of the package is used: no zoo, no builder, no towers and no layers. Weights are
a dict, name -> (kernel, bias), of whole layers: [side, side, inputs, outputs] for a
convolution, whose inputs are those of one group, [rows, columns, channels, outputs] for
fc6, and [inputs, outputs] for fc7 and fc8.
"""

import numpy as np
import tensorflow as tf


def no_dropout(x, name):
    """Stands for the dropout before the layer `name` at test time, when inverted."""
    del name
    return x


def caffe(weights, x, *, pool_first, drop=no_dropout):
    """Caffe's AlexNet, or with `pool_first` its CaffeNet; returns logits.

    `drop(x, name)` is the dropout of what the layer `name` reads.
    """

    def conv(x, name, *, stride=1, around=0):
        kernel, bias = weights[name]
        x = tf.pad(x, [[0, 0], [around, around], [around, around], [0, 0]])
        # As many groups as the input has times the channels of a kernel.
        return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "VALID") + bias)

    def pool(x):
        side = x.shape[1]
        x = tf.pad(  # the last window may extend past the edge, where nothing counts
            x,
            [[0, 0], [0, 1 - side % 2], [0, 1 - side % 2], [0, 0]],
            constant_values=-1e30,
        )
        return tf.nn.max_pool2d(x, 3, 2, "VALID")

    def norm(x):
        return tf.nn.local_response_normalization(
            x, depth_radius=2, bias=1.0, alpha=0.0001 / 5, beta=0.75
        )

    def shrink(x):
        return norm(pool(x)) if pool_first else pool(norm(x))

    x = shrink(conv(x, "conv1", stride=4))
    x = shrink(conv(x, "conv2", around=2))
    x = conv(x, "conv3", around=1)
    x = conv(x, "conv4", around=1)
    x = pool(conv(x, "conv5", around=1))
    kernel, bias = weights["fc6"]
    x = tf.nn.relu(tf.einsum("nhwc,hwcu->nu", x, kernel) + bias)
    kernel, bias = weights["fc7"]
    x = tf.nn.relu(drop(x, "fc7") @ kernel + bias)
    kernel, bias = weights["fc8"]
    return drop(x, "fc8") @ kernel + bias


def torchvision(weights, x, *, drop=no_dropout):
    """torchvision's AlexNet up to its sizes of 6x6, where its average pool is nothing.

    The arguments are those of `caffe`.
    """

    def conv(x, name, stride, around):
        kernel, bias = weights[name]
        edges = [around, around]
        x = tf.pad(x, [[0, 0], edges, edges, [0, 0]])
        return tf.nn.relu(tf.nn.conv2d(x, kernel, stride, "VALID") + bias)

    def pool(x):
        return tf.nn.max_pool2d(x, 3, 2, "VALID")  # rounds down

    x = pool(conv(x, "conv1", 4, 2))
    x = pool(conv(x, "conv2", 1, 2))
    for name in ("conv3", "conv4", "conv5"):
        x = conv(x, name, 1, 1)
    kernel, bias = weights["fc6"]
    x = drop(pool(x), "fc6")
    x = tf.nn.relu(tf.einsum("nhwc,hwcu->nu", x, kernel) + bias)
    kernel, bias = weights["fc7"]
    x = tf.nn.relu(drop(x, "fc7") @ kernel + bias)
    kernel, bias = weights["fc8"]
    return x @ kernel + bias


def random_weights(outputs, *, groups, side, seed=0):
    """Weights in the form of this module that keep the scale of what passes (He).

    Args:
        outputs: of every layer from conv1 to fc8, name -> count.
        groups: of conv2, conv4 and conv5.
        side: of the last map, which fc6 reads.
        seed: of the random numbers.
    """
    rng = np.random.default_rng(seed)
    below = 3
    weights = {}
    for name, count in outputs.items():
        seen = below // groups if name in ("conv2", "conv4", "conv5") else below
        window = {"conv1": 11, "conv2": 5, "fc6": side}.get(name, 3)
        shape = (
            (seen, count) if name in ("fc7", "fc8") else (window, window, seen, count)
        )
        deviation = np.sqrt(2 / np.prod(shape[:-1]))
        weights[name] = (
            rng.normal(0, deviation, shape).astype(np.float32),
            rng.normal(0, 1, count).astype(np.float32),
        )
        below = count
    return weights


def set_weights(built, weights, towers):
    """Gives a model of this package the weights of a plain net.

    Tower t of T has the t-th of T equal parts of the outputs of every layer but fc8,
    and fc6 reads the map of the first tower before that of the second.
    """
    for name, (kernel, bias) in weights.items():
        parts = 1 if name == "fc8" else towers
        if name == "fc6":
            kernel = np.concatenate(
                [
                    part.reshape(-1, part.shape[-1])
                    for part in np.split(kernel, towers, axis=2)
                ]
            )
        for tower in range(parts):
            layer = built.get_layer(name + (f"_tower{tower}" if parts > 1 else ""))
            layer.set_weights(
                [np.split(part, parts, axis=-1)[tower] for part in (kernel, bias)]
            )
