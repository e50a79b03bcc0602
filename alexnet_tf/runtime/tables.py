"""Results as a table to read, as JSON, or as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

Format = Literal["table", "json", "csv"]
# The ways to write a table of texts.
Style = Literal["text", "markdown", "csv", "latex"]

_LATEX = {
    **{c: f"\\{c}" for c in "&%$#_{}"},
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "±": r"$\pm$",
    "\u2013": "--",
    "<": "$<$",
    ">": "$>$",
}


def render(
    format: Format,
    *,
    data: Any,
    columns: Sequence[str],
    rows: Iterable[Sequence[Any]],
    table: str,
) -> str:
    """Returns the results in the requested format.

    Args:
        format: "table", "json" or "csv".
        data: what JSON holds.
        columns, rows: what CSV holds; floats are written with six digits.
        table: the text for people.

    Example:
        >>> render("csv", data=[], columns=["file", "score"], rows=[("a.png", 0.5)], table="")
        'file,score\\na.png,0.5'
    """
    if format == "json":
        return json.dumps(data, indent=1)
    if format == "table":
        return table
    sheet = io.StringIO()
    writer = csv.writer(sheet, lineterminator="\n")
    writer.writerow(columns)
    for row in rows:
        writer.writerow([f"{v:.6g}" if isinstance(v, float) else v for v in row])
    return sheet.getvalue().rstrip("\n")


def typeset(style: Style, header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Returns a table of texts, without a line break at its end.

    Args:
        style: "text" in columns, "markdown", "csv", or "latex" (a `tabular` with rules
            of the package booktabs).
        header: the names of the columns.
        rows: cells as texts; "" is a cell without a value.

    Example:
        >>> print(typeset("markdown", ["net", "error"], [["small", "9.1 ± 0.2"]]))
        | net | error |
        | --- | --- |
        | small | 9.1 ± 0.2 |
        >>> print(typeset("text", ["net", "error"], [["small", "9.1"]]))
        net    error
        small  9.1
    """
    if style == "csv":
        sheet = io.StringIO()
        csv.writer(sheet, lineterminator="\n").writerows([header, *rows])
        return sheet.getvalue().rstrip("\n")
    if style == "markdown":
        lines = [[c.replace("|", "\\|") for c in line] for line in (header, *rows)]
        lines.insert(1, ["---"] * len(header))
        return "\n".join(f"| {' | '.join(line)} |" for line in lines)
    if style == "latex":
        first, *rest = (
            " & ".join("".join(_LATEX.get(c, c) for c in cell) for cell in line)
            for line in (header, *rows)
        )
        lines_of_rows = [f"{line} \\\\" for line in rest]
        return "\n".join(
            [
                f"\\begin{{tabular}}{{{'l' * len(header)}}}",
                *("\\toprule", f"{first} \\\\", "\\midrule", *lines_of_rows),
                *("\\bottomrule", "\\end{tabular}"),
            ]
        )
    widths = [max(map(len, column)) for column in zip(header, *rows, strict=True)]
    return "\n".join(
        "  ".join(c.ljust(w) for c, w in zip(line, widths, strict=True)).rstrip()
        for line in (header, *rows)
    )
