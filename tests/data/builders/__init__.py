"""Tests of the TFDS builders in this package."""
