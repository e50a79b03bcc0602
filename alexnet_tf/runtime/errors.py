"""The messages of errors, without the text that TensorFlow adds to them."""

import os
import re

# Lines in which TensorFlow reports the place of an error in a graph, not its message.
_PLACE = re.compile(
    r"Graph execution error|Detected at node|<stack traces|  File |\s*$"
    r"|\s*\[\[\{\{node|\s*\[\[\w+\]\]\s*$"
)
# Text that may follow the message in its line: the node, or the operation.
_PLACE_IN_LINE = re.compile(r"\s*(\[\[\{\{node |\[Op:\w+\]).*")
# Text before the message of an error in a callback or in a dataset's function.
_CALLER = re.compile(
    r"\{\{.*?\}\} (Error in user-defined function .*? with iterator: \S+: )?"
    r"(\w+Error: )?"
)
# What Python puts before the message of an error of the operating system.
_NUMBER = re.compile(r"\[Errno -?\d+\] ")
_TRACEBACK = "\nTraceback (most recent call last)"


def _text(error: object) -> str:
    """The message of an error; that of the operating system begins with the file."""
    if not isinstance(error, OSError) or error.filename is None or not error.strerror:
        return str(error)
    what = error.strerror[0].lower() + error.strerror[1:]
    file = error.filename
    shown = file if isinstance(file, int) else os.fsdecode(file)  # or a descriptor
    return f"{shown}: {what}"


def _without_wrapping(error: object) -> list[str]:
    """Returns the lines with the message of an error, or all lines if none has it."""
    text = _NUMBER.sub("", _text(error).partition(_TRACEBACK)[0])
    if caller := _CALLER.match(text):
        text = text[caller.end() :]
    lines = [
        _PLACE_IN_LINE.sub("", line).strip()
        for line in text.splitlines()
        if not _PLACE.match(line)
    ]
    return lines or text.split("\n")


def one_line(error: object) -> str:
    """Returns the whole message of an error in one line.

    Example:
        >>> one_line(ValueError("size must be odd,\\n  got 4"))
        'size must be odd, got 4'
        >>> one_line(FileNotFoundError(2, "No such file or directory", "a.txt"))
        'a.txt: no such file or directory'
    """
    return " ".join(" ".join(_without_wrapping(error)).split())


def first_line(error: object) -> str:
    """Returns the first line of the message of an error.

    TensorFlow adds the operation, its inputs and the place in the code after it.
    `error` may also be the text of an error, for example one that a server sent.

    Example:
        >>> first_line("Graph execution error:\\n\\nassertion failed: [too large]")
        'too large'
    """
    line = _without_wrapping(error)[0].strip()
    if line.startswith("assertion failed: "):
        line = line.removeprefix("assertion failed: ").strip("[]").replace("] [", " ")
    return line
