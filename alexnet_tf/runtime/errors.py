"""What an error says to a user, without what TensorFlow puts around it."""

import re

# Lines of TensorFlow's that say where in a graph an error came up, and not what it is.
_PLACE = re.compile(
    r"Graph execution error|Detected at node|<stack traces|\s*\[\[\{\{node|  File |\s*$"
)
_TRACEBACK = "\nTraceback (most recent call last)"


def _without_wrapping(error: object) -> list[str]:
    """The lines of an error that say what it is."""
    text = str(error).partition(_TRACEBACK)[0]
    text = re.sub(r"^\{\{.*?\}\} (\w+Error: )?", "", text)
    return [line.strip() for line in text.splitlines() if not _PLACE.match(line)]


def one_line(error: object) -> str:
    """Everything that an error says, in one line.

    Example:
        >>> one_line(ValueError("size must be odd,\\n  got 4"))
        'size must be odd, got 4'
    """
    return " ".join(" ".join(_without_wrapping(error)).split())


def first_line(error: object) -> str:
    """The first line of an error that says what it is.

    TensorFlow's errors go on with the operation, its inputs and the place in the code.

    Example:
        >>> first_line("Graph execution error:\\n\\nassertion failed: [too large] [[{{node a}}]]")
        'too large'
    """
    line = next(iter(_without_wrapping(error)), "")
    line = re.sub(r"\s*\[\[\{\{node .*", "", line)
    if line.startswith("assertion failed: "):
        line = line.removeprefix("assertion failed: ").strip("[]")
    return line
