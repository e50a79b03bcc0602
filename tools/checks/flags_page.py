"""Prints the README's table of flags; with --write, puts it into the README."""

import dataclasses
import pathlib
import sys
import typing

from alexnet_tf.runtime import options

README = pathlib.Path(__file__).parents[2] / "README.md"
BEGIN, END = "<!-- flags -->\n", "<!-- end of flags -->\n"


def _kind(field: dataclasses.Field) -> str:
    if typing.get_origin(field.type) is typing.Literal:
        return r" \| ".join(typing.get_args(field.type))
    if typing.get_origin(field.type) is tuple:
        return f"list of {typing.get_args(field.type)[0].__name__}"
    return field.type.__name__


def _default(field: dataclasses.Field) -> str:
    value = field.default
    if isinstance(value, tuple):
        value = ",".join(map(str, value))
    return f"`{value}`" if value != "" else ""


def table() -> str:
    """A row a flag: type, default, who reads it, what it is."""
    lines = ["| flag | type | default | read by | |", "|---|---|---|---|---|"]
    for field in dataclasses.fields(options.Config):
        readers = ", ".join(field.metadata["readers"])
        lines.append(
            f"| `--{options.flag_name(field)}` | {_kind(field)} | {_default(field)} | {readers} "
            f"| {field.metadata['help']} |"
        )
    return "\n".join(lines) + "\n"


def main() -> None:
    if "--write" not in sys.argv[1:]:
        print(table(), end="")
        return
    before, _, rest = README.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    README.write_text(before + BEGIN + table() + END + after)


if __name__ == "__main__":
    main()
