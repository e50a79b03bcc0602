"""Images that tests make."""

import io

import numpy as np
from PIL import Image


def random_image(seed, height=20, width=24):
    """Random pixels, uint8 [height, width, 3]; the same for the same seed."""
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3))
    return pixels.astype(np.uint8)


def encode(image, kind, **options):
    """A Pillow image as the bytes of a file of some kind, such as "PNG"."""
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def write_gray_images(folder, count, suffix=".png"):
    """Writes `count` small images into a folder, each with its number as gray level."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (4, 4), (number,) * 3).save(folder / f"{number:03}{suffix}")
