"""Progress bars: what a terminal and a log keep of them."""

import io
import sys

import pytest

from alexnet_tf.runtime import progress


class Screen(io.StringIO):
    """Standard error as a terminal or as a file."""

    def __init__(self, live):
        super().__init__()
        self.live = live

    def isatty(self):
        return self.live


def kept(text):
    """What stays on a terminal: rows, which later text overwrites."""
    rows, row, column = [""], 0, 0
    for part in text.replace("\x1b[A", "\x00"):
        if part == "\n":
            row, column = row + 1, 0
            rows += [""] * (row + 1 - len(rows))
        elif part == "\r":
            column = 0
        elif part == "\x00":
            row -= 1
        else:
            padded = rows[row].ljust(column)
            rows[row] = padded[:column] + part + padded[column + 1 :]
            column += 1
    return [each.rstrip() for each in rows if each.strip()]


@pytest.mark.parametrize("live", [True, False])
def test_many_short_bars_within_another_leave_only_that_one(monkeypatch, live):
    screen = Screen(live)
    monkeypatch.setattr(sys, "stderr", screen)
    with progress.bar(20, "training", "image") as outer:
        for _ in range(20):
            with progress.bar(4, "evaluating", "image") as inner:
                inner.update(4)
            outer.update(1)
    rows = kept(screen.getvalue())
    assert len(rows) == 1, rows
    assert rows[0].startswith("training: 100%")
    assert ("evaluating" in screen.getvalue()) == live


@pytest.mark.parametrize("live", [True, False])
def test_bars_after_each_other_are_all_kept(monkeypatch, live):
    screen = Screen(live)
    monkeypatch.setattr(sys, "stderr", screen)
    for name in ("first", "second"):
        with progress.bar(3, name, "image") as bar:
            bar.update(3)
    rows = kept(screen.getvalue())
    assert [row.split(":")[0] for row in rows] == ["first", "second"]


def test_a_long_bar_within_another_is_written_into_a_log(monkeypatch):
    screen = Screen(live=False)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setattr(progress, "_LOG_INTERVAL_S", 0.01)
    with progress.bar(2, "training", "image"):
        with progress.bar(10**6, "evaluating", "image") as inner:
            while "evaluating" not in screen.getvalue() and inner.n < 10**6:
                inner.update(1)
        assert inner.n < 10**6
