"""What the server of `tests.support.commands` imports before it forks commands."""

from alexnet_tf.runtime import log_noise

with log_noise.held_back():
    import tensorflow as tf

    import alexnet_tf.evaluation.evaluator
    import alexnet_tf.serving.local_model
    import alexnet_tf.training.assembly  # noqa: F401

    tf.config.list_physical_devices()  # says whether there is a GPU
