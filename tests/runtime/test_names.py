"""Class names are checked when they enter, and any name can be shown."""

import os
import re
import unicodedata

import pytest

from alexnet_tf.runtime import names


@pytest.mark.parametrize(
    "name", ["cat", 'comma, quote" and space', "n01440764", "日本", "🐈‍⬛", "a\\b", "é"]
)
def test_an_ordinary_name_stays_as_it_is(name):
    assert names.checked(name, "train/") == unicodedata.normalize("NFC", name)


@pytest.mark.parametrize(
    ("decomposed", "composed"),
    [("cafe\u0301", "caf\u00e9"), ("\u212b", "\u00c5"), ("\u1112\u1161\u11ab", "한")],
)
def test_a_name_becomes_its_composed_form(decomposed, composed):
    assert names.checked(decomposed, "train/") == composed


@pytest.mark.parametrize(
    ("name", "shown", "reason"),
    [
        ("new\nline", r"new\nline", "a control character"),
        ("tab\t", r"tab\t", "a control character"),
        ("nul\0", r"nul\x00", "a control character"),
        ("c1\x85", r"c1\x85", "a control character"),
        ("\x7f", r"\x7f", "a control character"),
        ("a\u2028b", r"a\u2028b", "a line separator"),
        ("a\u2029b", r"a\u2029b", "a paragraph separator"),
        (os.fsdecode(b"caf\xe9"), r"caf\xe9", "bytes that are not UTF-8"),
        ("\ud800", r"\ud800", "bytes that are not UTF-8"),
    ],
)
def test_a_name_that_is_not_one_line_of_unicode_is_refused(name, shown, reason):
    expected = f"train/: the class name '{shown}' has {reason}: rename it"
    with pytest.raises(ValueError, match=f"^{re.escape(expected)}$"):
        names.checked(name, "train/")


@pytest.mark.parametrize("name", ["", " ", "\u3000"])
def test_an_empty_name_is_refused(name):
    with pytest.raises(ValueError, match="labels.txt: a class name is empty"):
        names.checked(name, "labels.txt")


@pytest.mark.parametrize("name", [None, 3, b"cat", ["cat"]])
def test_a_name_that_is_not_text_is_refused(name):
    with pytest.raises(
        ValueError, match="dataset.json: a class name must be text, got"
    ):
        names.checked(name, "dataset.json")


def test_names_keep_their_order():
    assert names.checked_all(["b", "cafe\u0301", "a"], "x") == ("b", "caf\u00e9", "a")


def test_names_that_are_equal_are_refused():
    with pytest.raises(ValueError, match=r"x: two classes have the same name 'a': ren"):
        names.checked_all(["a", "b", "a"], "x")


def test_names_that_look_alike_are_refused_and_told_apart():
    with pytest.raises(
        ValueError, match=r"name 'café' \('caf\\xe9' and 'cafe\\u0301' look alike\)"
    ):
        names.checked_all(["caf\u00e9", "cafe\u0301"], "x")


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        ("plain name.jpg", "plain name.jpg"),
        ("日本/é.png", "日本/é.png"),
        ("a\\nb", r"a\\nb"),
        ("right\u202eleft", r"right\u202eleft"),
        (os.fsdecode(b"\xff/caf\xe9.png"), r"\xff/caf\xe9.png"),
    ],
)
def test_any_name_is_shown_in_one_printable_line(name, shown):
    assert names.escaped(name) == shown
    assert names.escaped(name).isprintable()
