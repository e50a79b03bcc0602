"""A page is one file of escaped HTML that needs nothing else."""

import base64
import html.parser
import importlib.util
import re
import sys

import pytest

from alexnet_tf.drawing.report import page
from alexnet_tf.drawing.report.missing import Missing
from alexnet_tf.drawing.report.page import (
    Absent,
    Code,
    Details,
    Image,
    Paragraph,
    Section,
    Table,
)

HOSTILE = "</code><script>alert(1)</script>\"' onerror=x {{ 7*7 }} \u202eabc\ud800\0"
PIXEL = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAAAAAA6fptVAAAACklEQVR4nGNgAAAAAgABSK+kcQAAAABJ"
    "RU5ErkJggg=="
)


class Outline(html.parser.HTMLParser):
    """The elements of a page, and the text outside of its styles."""

    def __init__(self, text):
        super().__init__()
        self.elements, self.text, self._in_style = [], "", False
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.elements.append((tag, dict(attributes)))
        self._in_style = tag == "style"

    def handle_data(self, data):
        if not self._in_style:
            self.text += data

    def all(self, tag):
        return [attributes for name, attributes in self.elements if name == tag]


def hostile_page():
    """A page in which every text is hostile."""
    blocks = [
        Paragraph(HOSTILE),
        Code(HOSTILE, HOSTILE),
        Table(HOSTILE, (HOSTILE, "b"), [(HOSTILE, Missing(HOSTILE))]),
        Table(HOSTILE, (), [(HOSTILE, None)]),
        Image(PIXEL, "image/png", 1, 1, HOSTILE, HOSTILE),
        Absent(HOSTILE, HOSTILE),
        Details(HOSTILE, [Paragraph(HOSTILE)]),
    ]
    inner = [Section("inner", HOSTILE, blocks)]
    return page.render(HOSTILE, [Section("outer", HOSTILE, [], inner)], [HOSTILE])


def test_text_of_strangers_stays_text():
    text = hostile_page()
    found = Outline(text)
    assert found.all("script") == []
    assert not [
        name for _, about in found.elements for name in about if name == "onerror"
    ]
    shown = HOSTILE.replace("\u202e", "\\u202e").replace("\ud800", "\\ud800")
    shown = shown.replace("\0", "\\x00")
    assert found.all("img")[0]["alt"] == shown
    # In the title and the heading, twice for each section, in 14 parts of blocks, and in
    # the footer.
    assert found.text.count("{{ 7*7 }}") == 2 + 4 + 14 + 1
    text.encode()  # as UTF-8


def test_a_page_loads_nothing_and_says_so_to_the_browser():
    found = Outline(hostile_page())
    (policy,) = (m for m in found.all("meta") if "http-equiv" in m)
    assert policy["content"].startswith("default-src 'none'; ")
    assert not {tag for tag, _ in found.elements} & {
        "link",
        "script",
        "iframe",
        "object",
    }
    addresses = [a["src"] for _, a in found.elements if "src" in a]
    assert addresses == ["data:image/png;base64," + base64.b64encode(PIXEL).decode()]
    styles = re.search(r"<style>(.*?)</style>", hostile_page(), re.DOTALL)[1]
    assert "url(" not in styles
    assert "@import" not in styles


def test_headings_descend_and_each_section_is_in_the_contents():
    found = Outline(hostile_page())
    headings = [tag for tag, _ in found.elements if re.fullmatch("h[1-6]", tag)]
    assert headings == ["h1", "h2", "h2", "h3"]  # the contents, outer, inner
    anchors = {about["id"] for _, about in found.elements if "id" in about}
    links = [about["href"] for about in found.all("a")]
    assert links == ["#main", "#outer", "#inner"]
    assert {link[1:] for link in links} <= anchors


def test_tables_have_captions_and_headings_of_rows_and_columns():
    found = Outline(hostile_page())
    assert len(found.all("caption")) == len(found.all("table")) == 2
    assert [about["scope"] for about in found.all("th")] == ["col", "col", "row", "row"]
    # What may be wider than a phone can be scrolled to by keyboard.
    regions = [a for _, a in found.elements if a.get("role") == "region"]
    assert [about["tabindex"] for about in regions] == ["0"] * 4


def test_the_page_states_its_own_size():
    blocks = [Paragraph("x" * 1_234_567)]
    text = page.render("t", [Section("a", "a", blocks)], ["It has {size}."])
    assert f"It has {len(text.encode()) / 1e6:.2f} MB." in text


def test_without_jinja_one_line_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "jinja2", None)
    spec = importlib.util.spec_from_file_location("page_again", page.__file__)
    with pytest.raises(OSError, match=r"needs the package jinja2.*alexnet_tf\[figures"):
        spec.loader.exec_module(importlib.util.module_from_spec(spec))
