"""A part of Fashion-MNIST that is included in this package, as a TFDS builder."""
