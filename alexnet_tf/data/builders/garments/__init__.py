"""The embedded default: a part of Fashion-MNIST, as a TFDS builder."""
