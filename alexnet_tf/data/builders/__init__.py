"""TFDS builders of this package; importing one registers it with TFDS."""
