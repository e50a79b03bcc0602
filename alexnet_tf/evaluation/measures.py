"""What an evaluation measures, by the names in its results, and the file of them."""

FILE = "evaluation.json"  # in the run folder

METHODS = {"center_crop": "center crop", "ten_crop": "ten crops"}

# Of each method, in percent and in nats.
MEASURES = {
    "top1_error": "top-1 error, %",
    "top5_error": "top-5 error, %",
    "loss": "loss",
}


def shown(classes: int) -> tuple[str, ...]:
    """Returns the measures that a table of a net with so many classes has.

    The five best of five classes or fewer always contain the right one.

    Example:
        >>> shown(3), shown(1000)
        (('top1_error', 'loss'), ('top1_error', 'top5_error', 'loss'))
    """
    return tuple(name for name in MEASURES if name != "top5_error" or classes > 5)
