"""Prints docs/flags.md, which is generated from the options; --write writes it."""

import importlib
import pathlib
import sys

from alexnet_tf import __main__ as package
from alexnet_tf.runtime import options

PAGE = pathlib.Path(__file__).resolve().parents[2] / "docs" / "flags.md"
HEAD = """\
# Flags

Every option of every command. This page is generated from the code by
`python tools/checks/flags_page.py --write`, and a test holds that it is current.

A flag file has one flag on each line; `--flagfile=FILE` reads it, and flags that come
after it win. Lines that begin with `#` are comments. `~` is expanded in every path. A
flag without a default is not given unless you give it.

"""


def page() -> str:
    """The text of the page."""
    kinds = {
        command: importlib.import_module(f"alexnet_tf.{command}").OPTIONS
        for command in package.COMMANDS
    }
    return HEAD + options.markdown_table(kinds)


def main() -> None:
    if "--write" in sys.argv[1:]:
        PAGE.write_text(page())
    else:
        print(page(), end="")


if __name__ == "__main__":
    main()
