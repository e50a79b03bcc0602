"""Metrics for Keras: LPIPS, which compares how images look."""

from alexnet_tf.evaluation.lpips import LPIPS

__all__ = ["LPIPS"]
