"""ILSVRC-2010 with its labeled test split, as a TFDS builder."""
