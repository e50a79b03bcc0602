"""How large an image may be, for every part of the package that decodes images.

An image that exceeds a limit is rejected by its header, before it is decoded. This
module imports nothing, so that code with and without TensorFlow can use the same
numbers.
"""

# Preparation decodes files that its user chose, one at a time per worker process, so it
# may take more memory per image: 100 megapixels are 300 MB decoded, and 1.2 GB more
# while they are resized in float32.
MAX_PIXELS_PREPARED = 100_000_000

# A server decodes what strangers send, several images at a time, so it allows half of
# that: 50 megapixels are 150 MB decoded, and 600 MB more while they are resized in
# float32.
MAX_PIXELS_SERVED = 50_000_000

# The longer side divided by the shorter one, for both: the shorter side is scaled to a
# few hundred pixels and the longer one with it, before the center square is cut out.
MAX_ASPECT = 100
