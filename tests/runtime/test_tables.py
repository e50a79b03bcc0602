"""Tables of texts in four ways of writing them."""

import csv
import io
import json

import hypothesis
import pytest
from hypothesis import strategies as st

from alexnet_tf.runtime import tables

HEADER = ["net", "error, %"]


def test_columns_of_text_are_as_wide_as_their_widest_cell():
    shown = tables.typeset("text", HEADER, [["small", "9"], ["x", ""]])
    assert shown == "net    error, %\nsmall  9\nx"


def test_markdown_escapes_what_would_end_a_cell():
    shown = tables.typeset("markdown", HEADER, [["a|b", "9"]])
    assert shown.splitlines()[1:] == ["| --- | --- |", r"| a\|b | 9 |"]


def test_latex_escapes_what_it_would_interpret():
    shown = tables.typeset("latex", HEADER, [["no_lrn & 2", "9.1 ± 0.2"]])
    assert r"net & error, \% \\" in shown
    assert r"no\_lrn \& 2 & 9.1 $\pm$ 0.2 \\" in shown
    assert shown.startswith("\\begin{tabular}{ll}")


@hypothesis.given(st.lists(st.tuples(st.text(), st.text()), max_size=3))
def test_csv_is_read_back(rows):
    rows = [["".join(c for c in t if c.isprintable()) for t in row] for row in rows]
    shown = tables.typeset("csv", HEADER, rows)
    assert list(csv.reader(io.StringIO(shown))) == [HEADER, *rows]


@pytest.mark.parametrize("style", ["text", "markdown", "csv", "latex"])
def test_a_table_without_rows_has_its_header(style):
    assert "net" in tables.typeset(style, HEADER, [])


def test_each_format_has_its_numbers_as_precise_as_it_promises():
    given = {
        "data": {"error": 1 / 3},
        "columns": ["file", "score", "small", "count"],
        "rows": [("a,b", 12.3456789, 1.23456789e-9, 1234567)],
        "table": "a table",
    }
    assert tables.render("csv", **given).splitlines() == [
        "file,score,small,count",
        '"a,b",12.3457,1.23457e-09,1234567',
    ]
    assert json.loads(tables.render("json", **given)) == {"error": 1 / 3}
    assert tables.render("table", **given) == "a table"
