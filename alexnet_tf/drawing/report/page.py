"""A page of sections as one HTML file that needs nothing else, by Jinja2.

A page has no script, and its policy forbids a browser to load or run anything but its
own styles and the images in it. All text is escaped: the names of classes and folders
may be a stranger's.
"""

import base64
import dataclasses
import importlib.resources
import re
from collections.abc import Callable, Sequence

try:
    import jinja2
    import markupsafe
except ModuleNotFoundError as error:
    raise OSError(
        f"a report needs the package {error.name}, which is not installed: "
        "pip install 'alexnet_tf[figures]'"
    ) from None

from alexnet_tf.drawing.report.missing import Missing

# Characters that text on a page must not have: control characters, halves of characters,
# and those that turn the direction of the text around them.
_REFUSED = re.compile(
    "[\0-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff\ufffe\uffff]"
)


@dataclasses.dataclass(frozen=True)
class Paragraph:
    """Full sentences."""

    text: str
    kind = "paragraph"


@dataclasses.dataclass(frozen=True)
class Code:
    """What to type, or the lines of a file; `label` says what it is."""

    label: str
    text: str
    kind = "code"


@dataclasses.dataclass(frozen=True)
class Table:
    """A table whose first column names its rows.

    Attributes:
        caption: what it shows.
        columns: their headings; empty for a table of names and values.
        rows: the cells. A number is text already; None is an empty cell, and `Missing`
            a cell that says why there is nothing.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[str | Missing | None]]
    kind = "table"


@dataclasses.dataclass(frozen=True)
class Image:
    """An image in the page.

    Attributes:
        data: the bytes of a PNG, WebP or SVG file.
        type: its media type, such as "image/png".
        width, height: in pixels of the page.
        alternative: what those read who do not see it.
        caption: what it shows.
        text: the same as a table or in numbers, which is folded up; may be "".
    """

    data: bytes
    type: str
    width: int
    height: int
    alternative: str
    caption: str
    text: str = ""
    kind = "image"

    @property
    def address(self) -> str:
        """The image as a data address, in which nothing has to be escaped."""
        encoded = base64.b64encode(self.data).decode()
        return markupsafe.Markup(f"data:{self.type};base64,{encoded}")


@dataclasses.dataclass(frozen=True)
class Absent:
    """Stands in the place of something that cannot be shown, and says why."""

    what: str
    why: str
    kind = "absent"


@dataclasses.dataclass(frozen=True)
class Details:
    """What is folded up until the reader opens it."""

    summary: str
    blocks: "Sequence[Block]"
    kind = "details"


Block = Paragraph | Code | Table | Image | Absent | Details


@dataclasses.dataclass(frozen=True)
class Section:
    """A part of a page with a heading, to which the list of contents links.

    Attributes:
        anchor: its address within the page, ASCII letters, digits and hyphens.
        title: the heading.
        blocks: what follows it.
        sections: the sections below it.
    """

    anchor: str
    title: str
    blocks: Sequence[Block]
    sections: "Sequence[Section]" = ()


def render(
    title: str,
    sections: Sequence[Section],
    about: Sequence[str],
    shown: Callable[[str], str] = str,
) -> str:
    """Returns a page as HTML.

    Args:
        title: of the page.
        sections: of the page; their heading is of the second level.
        about: sentences at the page's end. "{size}" in one becomes the page's size.
        shown: gives each text as the page shows it, for example without private paths.

    Example:
        >>> page = render("A & B", [Section("net", "Net", [Paragraph("<b>")])], [])
        >>> "<title>A &amp; B</title>" in page, "<p>&lt;b&gt;</p>" in page
        (True, True)
    """
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_template),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: (
            _printable(shown(value)) if type(value) is str else value
        ),
    )
    environment.tests["missing"] = lambda value: isinstance(value, Missing)
    template = environment.get_template("page.html")

    def page(size: str) -> str:
        lines = [line.replace("{size}", size) for line in about]
        return template.render(title=title, sections=sections, about=lines)

    return page(size_text(len(page("0.00 MB").encode())))


def size_text(size: int) -> str:
    """Returns a number of bytes in megabytes, as "0.42 MB"."""
    return f"{size / 1e6:.2f} MB"


def _template(name: str) -> str:
    return (importlib.resources.files(__package__) / name).read_text(encoding="utf-8")


def _printable(value: str) -> str:
    """Returns text in which characters that must not be on a page are escaped."""
    return _REFUSED.sub(lambda match: match[0].encode("unicode_escape").decode(), value)
