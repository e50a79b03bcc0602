"""Measures a trained net: its errors and losses on a split."""

from alexnet_tf.runtime import keras_backend

keras_backend.require_tensorflow()  # before any module here imports Keras
