"""The commands that the documents show, as their readers type them.

A block that is indented by four spaces is typed into a shell, except for the lines that
begin with ">": these are printed. Everything else that a page shows is in fences.
"""

import re
import shlex
import subprocess

from tests.support import ROOT

DOCUMENTS = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md")])


def named(document):
    """The path of a document from the root of the repository."""
    return document.relative_to(ROOT).as_posix()


def without_fences(text):
    return re.sub(r"^ *```.*?^ *```\n", "", text, flags=re.DOTALL | re.MULTILINE)


def blocks(text):
    """The blocks of a page that are typed, with each command's lines joined."""
    found = re.findall(r"(?:^|\n\n)((?: {4}.*\n)+)", without_fences(text) + "\n")
    lines = [block.splitlines(keepends=True) for block in found]
    typed = [
        "".join(line[4:] for line in each if not re.match(r" +[>^]", line))
        for each in lines
    ]
    return [re.sub(r" *\\\n *", " ", block) for block in typed if block]


def printed(text):
    """A pattern for each line that a page says is printed.

    Its numbers stand for any others, its spaces for more or fewer, and "..." for any text.
    """
    lines = re.findall(r"^ {4,}> *(.*)", without_fences(text), re.MULTILINE)
    return [
        re.sub(r"(?<![\w-])\d+(\\[.]\d+)?", r"[\\d.,]+", re.escape(line))
        .replace(re.escape("..."), ".*")
        .replace(r"\ ", r"\s+")
        for line in lines
    ]


def commands(text):
    """The commands of a page's blocks, without comments, in the page's order.

    A command has several lines if the shell would ask for more after the first ones, as
    in a loop.
    """
    found, lines = [], ""
    for line in "".join(blocks(text)).splitlines(keepends=True):
        lines += re.sub(r"\s+# .*", "", line)
        if is_complete(lines):
            found.append(lines.strip())
            lines = ""
    assert not lines, f"no end: {lines}"
    return found


def tools(text):
    """The commands of tools that are code in the sentences of a page."""
    typed = r"`(python tools/[\w/]+\.py[^`\n]*|tools/[\w/]+\.(?:py|sh) [^`\n]+)`"
    return re.findall(typed, text)


def is_complete(command):
    """Whether a shell would run what was typed so far, and not ask for more."""
    if not re.search(r"""["'({]|\bdo\b""", command):
        return True
    return not subprocess.run(
        ["bash", "-n", "-c", command], capture_output=True, check=False
    ).returncode


def arguments(typed):
    """The words of a command up to where the shell would end it."""
    words = shlex.shlex(typed, posix=True, punctuation_chars=True)
    words.whitespace_split = True
    words.commenters = "#"
    found = []
    for word in words:
        if re.fullmatch(r"[|&;()<>]+", word):
            break
        found.append(word)
    return found


def calls(text):
    """Yields (name, its arguments) of each `python -m alexnet_tf.NAME` of a page.

    A command ends where its line or its code in a line does, or where the shell would
    end it.
    """
    joined = re.sub(r"\\\n\s*", " ", text)
    for name, rest in re.findall(r"python -m alexnet_tf\.(\w+)([^\n`]*)", joined):
        yield name, arguments(rest)
