"""Faults in gradients, which leave what a layer computes as it is."""

import tensorflow as tf


def scaled(x, factor):
    """Returns `x`, with a gradient that is `factor` times too large."""
    return x * factor + tf.stop_gradient(x - x * factor)


def of_another(outputs, other):
    """Returns `outputs`, with the gradient of `other`."""
    return other + tf.stop_gradient(outputs - other)


def replace(layer, other):
    """Gives a Keras layer the gradient of `other(inputs)`; returns the layer."""
    right = layer.call

    def call(inputs, **training):
        return of_another(right(inputs, **training), other(inputs))

    layer.call = call
    return layer


def plant(layer, factor):
    """Multiplies the gradients of a Keras layer by a factor; returns the layer."""
    right = layer.call
    layer.call = lambda inputs, **training: scaled(right(inputs, **training), factor)
    return layer
