"""Results as a table to read, as JSON, or as CSV."""

import csv
import io
import json
from collections.abc import Iterable, Sequence
from typing import Any, Literal

Format = Literal["table", "json", "csv"]


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
