"""The color behind transparent pixels.

Networks see three channels, so a transparent pixel takes the color of a background. A
dataset records its background, a trained net keeps it, and exports compose with the same
one: out = (color * alpha + background * (255 - alpha) + 127) // 255, in whole numbers.
"""

import re

import numpy as np

Color = tuple[int, int, int]

WHITE: Color = (255, 255, 255)

_NAMES = {"white": WHITE, "black": (0, 0, 0), "gray": (128, 128, 128)}


def parse(text: str) -> Color:
    """Returns the color that `text` names: white, black, gray or #rrggbb.

    Raises:
        ValueError: it names none.

    Example:
        >>> parse("#ff8000")
        (255, 128, 0)
    """
    if text in _NAMES:
        return _NAMES[text]
    if not re.fullmatch("#[0-9a-fA-F]{6}", text):
        raise ValueError(
            f"a background must be {', '.join(_NAMES)} or a color such as #ff8000, got "
            f"{text!r}"
        )
    red, green, blue = bytes.fromhex(text[1:])
    return red, green, blue


def to_text(color: Color) -> str:
    """Returns a color as `parse` reads it.

    Example:
        >>> to_text((255, 128, 0))
        '#ff8000'
    """
    return f"#{bytes(color).hex()}"


def from_json(value: object, where: str) -> Color:
    """Returns the color that a file records as `[r, g, b]`.

    Args:
        value: what was found.
        where: the file, which begins the error message.

    Raises:
        ValueError: it is not a list of three integers from 0 to 255.

    Example:
        >>> from_json([255, 128, 0], "model.json")
        (255, 128, 0)
    """
    if (
        not isinstance(value, list | tuple)
        or len(value) != 3
        or not all(type(level) is int and 0 <= level <= 255 for level in value)
    ):
        raise ValueError(
            f"{where}: background must be three integers from 0 to 255, got {value!r}"
        )
    red, green, blue = value
    return red, green, blue


def compose(image: np.ndarray, background: Color) -> np.ndarray:
    """Lays an image over a background.

    Args:
        image: uint8 [..., 4], RGB and alpha, or [..., 3], which is returned as it is.
        background: the color behind it.

    Returns: uint8 [..., 3].

    Example:
        >>> compose(np.array([[0, 0, 0, 0], [10, 20, 30, 255]], np.uint8), WHITE).tolist()
        [[255, 255, 255], [10, 20, 30]]
    """
    if image.shape[-1] == 3:
        return image
    # At most 255 * 255 + 127, which 16 bits hold.
    alpha = image[..., 3:].astype(np.uint16)
    behind = np.array(background, np.uint16)
    summed = image[..., :3] * alpha + behind * (255 - alpha) + np.uint16(127)
    return (summed // 255).astype(np.uint8)
