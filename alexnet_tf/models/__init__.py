"""The nets: their data, layers, devices and towers, and a trained net on disk."""

from alexnet_tf.runtime import keras_backend

keras_backend.require_tensorflow()  # before any module here imports Keras
