"""Tests of alexnet_tf.data."""
