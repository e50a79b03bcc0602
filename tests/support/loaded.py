"""What the server of `tests.support.programs` imports before it forks programs."""

from absl import logging

from alexnet_tf.runtime import loading

logging.use_absl_handler()  # as `app.run` does, before TensorFlow would set up its own
# A collection in a fork would copy the memory of all that it looks at.
with loading.libraries():
    import tensorflow as tf

    import alexnet_tf.evaluation.evaluator
    import alexnet_tf.serving.local_model
    import alexnet_tf.training.assembly  # noqa: F401

    tf.config.list_physical_devices()  # says whether there is a GPU
