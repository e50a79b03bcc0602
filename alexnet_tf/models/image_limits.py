"""What an image may be, for every part of the package that decodes images.

Preparation, prediction and exported graphs accept the same images. Whatever exceeds a
limit is rejected by its header, before it is decoded. This module imports nothing, so
that code with and without TensorFlow can use the same numbers.
"""

# 50 megapixels are 150 MB decoded, and 600 MB more while they are resized in float32.
MAX_PIXELS = 50_000_000

# The longer side divided by the shorter one: the shorter side is scaled to a few hundred
# pixels and the longer one with it, before the center square is cut out.
MAX_ASPECT = 100

# Of an encoded image.
MAX_BYTES = 64 * 2**20

# Each scan of a progressive JPEG passes over all its pixels; encoders write about ten.
MAX_SCANS = 100

# The chunks of a PNG, the blocks of a GIF and the segments of a JPEG are visited one
# after the other. Consecutive chunks or blocks of the same kind and length count once.
# An exported graph takes about 40 microseconds of a core for each part.
MAX_PARTS = 10_000

# Of a whole request to an exported graph. The images of a request are decoded ten at a
# time if the ten largest have at most MAX_PIXELS_AT_ONCE, and else one at a time.
MAX_REQUEST_IMAGES = 128
MAX_REQUEST_BYTES = 4 * MAX_BYTES
MAX_REQUEST_PIXELS = 10 * MAX_PIXELS
MAX_PIXELS_AT_ONCE = 2 * MAX_PIXELS

# What data of a kind that is not decoded begins with, at some byte, and its name.
OTHER_KINDS = (
    (0, b"\x1f\x8b", "a gzip archive"),
    (8, b"WEBP", "a WebP"),
    (0, b"II*\0", "a TIFF"),
    (0, b"MM\0*", "a TIFF"),
    (4, b"ftypavi", "an AVIF"),
    (4, b"ftyphei", "a HEIC"),
    (4, b"ftypmif1", "a HEIC"),
    (0, b"\0\0\0\x0cjP  ", "a JPEG 2000"),
    (0, b"\xff\x4f\xff\x51", "a JPEG 2000"),
    (0, b"\xff\x0a", "a JPEG XL"),
    (0, b"\0\0\0\x0cJXL ", "a JPEG XL"),
    (0, b"8BPS", "a Photoshop file"),
    (0, b"\0\0\1\0", "an icon"),
    (0, b"%PDF", "a PDF"),
    (0, b"%!PS", "a PostScript file"),
    (0, b"<svg", "an SVG"),
    (0, b"<?xml", "an XML file"),
    (0, b"<html", "a web page"),
    (0, b"<!DOCTYPE", "a web page"),
    (0, b"PK\3\4", "a zip archive"),
    (0, b"\x89PNG", "a damaged PNG"),
)
