"""A picture of one mosaic per tower, each with its heading, one above the other."""

from collections.abc import Sequence

import numpy as np

from alexnet_tf.drawing import canvas
from alexnet_tf.evaluation import kernels

# In pixels.
MARGIN = 12
_HEADING = 30  # above each tower
_LEAST_WIDTH = 340  # so that a heading has room


def draw(
    images: np.ndarray, headings: Sequence[str], *, side: int, above: int = 0
) -> tuple[canvas.Picture, np.ndarray]:
    """Draws the images of each tower.

    Args:
        images: uint8 [towers, images, height, width, 3].
        headings: of the towers.
        side: how many pixels the longer side of an image has at most, if it does not
            have more itself.
        above: how many pixels stay free at the top.

    Returns: the picture, and where each image is in it, [towers, images, 4] as (left,
        top, right, bottom) in pixels.
    """
    zoom = max(1, side // max(images.shape[2:4]))
    mosaics = [kernels.mosaic(each, zoom) for each in images]
    rows, columns = mosaics[0][0].shape[:2]
    width = max(columns, _LEAST_WIDTH) + 2 * MARGIN
    height = above + len(mosaics) * (_HEADING + rows) + MARGIN
    picture, boxes = canvas.new_pixel_picture(width, height), []
    for tower, (pixels, places) in enumerate(mosaics):
        top = above + tower * (_HEADING + rows) + _HEADING
        canvas.add_pixels(picture, pixels, MARGIN, top)
        boxes.append(places + np.tile([MARGIN, top], 2))
        picture.text(MARGIN / width, 1 - (top - 8) / height, headings[tower])
    return picture, np.stack(boxes)
