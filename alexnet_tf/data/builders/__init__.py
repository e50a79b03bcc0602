"""TFDS builders of this package. Importing one registers its name with TFDS."""
