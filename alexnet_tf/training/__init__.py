"""Training: the step, the update rule, the schedule, checkpoints, the log, replicas."""

from alexnet_tf.runtime import keras_backend

keras_backend.require_tensorflow()  # before any module here imports Keras
