"""What an error says to a user, without what TensorFlow puts around it."""

import re

# Lines of TensorFlow's that say where in a graph an error came up, and not what it is.
_PLACE = re.compile(
    r"Graph execution error|Detected at node|<stack traces|  File |\s*$"
    r"|\s*\[\[\{\{node|\s*\[\[\w+\]\]\s*$"
)
# What may follow the message in its own line: the node, or the operation.
_PLACE_IN_LINE = re.compile(r"\s*(\[\[\{\{node |\[Op:\w+\]).*")
# What precedes the message of a callback's error, and that of a dataset's function.
_CALLER = re.compile(
    r"\{\{.*?\}\} (Error in user-defined function .*? with iterator: \S+: )?"
    r"(\w+Error: )?"
)
_TRACEBACK = "\nTraceback (most recent call last)"


def _without_wrapping(error: object) -> list[str]:
    """The lines of an error that say what it is; all of it if there are none."""
    text = str(error).partition(_TRACEBACK)[0]
    if caller := _CALLER.match(text):
        text = text[caller.end() :]
    lines = [
        _PLACE_IN_LINE.sub("", line).strip()
        for line in text.splitlines()
        if not _PLACE.match(line)
    ]
    return lines or text.split("\n")


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
    `error` may also be the text of an error, for example one that a server sent.

    Example:
        >>> first_line("Graph execution error:\\n\\nassertion failed: [too large]")
        'too large'
    """
    line = _without_wrapping(error)[0].strip()
    if line.startswith("assertion failed: "):
        line = line.removeprefix("assertion failed: ").strip("[]").replace("] [", " ")
    return line
