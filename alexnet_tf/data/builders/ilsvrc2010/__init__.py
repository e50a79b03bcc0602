"""ILSVRC-2010 with its labelled test split, as a TFDS builder."""
