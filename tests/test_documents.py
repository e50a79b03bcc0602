"""Links, pictures, paths and commands of the documents are right."""

import importlib
import importlib.util
import os
import re
import subprocess
import sys

import pytest
from absl import flags

from alexnet_tf import __main__ as package
from alexnet_tf.runtime import options
from tests.support import ROOT, documented
from tests.support.documented import DOCUMENTS, named

README = ROOT / "README.md"
# They end a command before it looks at its other flags.
HELP = ("--help", "--helpshort")
# With it the site's search also works on pages that are opened as files; the pages
# themselves do not need it.
SEARCH_IN_FILES = "https://unpkg.com/iframe-worker/shim"


def prose(text):
    """The text without blocks of code and code in lines."""
    return re.sub(r"`[^`]*`", "", documented.without_fences(text))


def anchors(text):
    """The anchors that a forge gives to the headings of a page."""
    text = documented.without_fences(text)
    found = set()
    for heading in re.findall(r"^#+ +(.*?) *$", text, flags=re.MULTILINE):
        shown = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        anchor = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        if anchor in found:
            anchor += f"-{sum(each.startswith(anchor) for each in found)}"
        found.add(anchor)
    return found


def targets(text):
    """What the links and the pictures of a page lead to, outside pages included."""
    text = prose(text)
    return [
        *re.findall(r"\]\(<?([^)\s>]+)>?(?: \"[^\"]*\")?\)", text),
        *re.findall(r"^\[[^\]]+\]: +(\S+)", text, flags=re.MULTILINE),
        *re.findall(r"<(?:img|source)[^>]* src(?:set)?=\"([^\"]+)\"", text),
    ]


def local_targets(document):
    """Yields (path, anchor) for each link of a document into this repository."""
    for target in targets(document.read_text()):
        if not re.match(r"[a-z]+:", target):
            path, _, anchor = target.partition("#")
            yield (document.parent / path).resolve() if path else document, anchor


def broken_links(document):
    """The links of a document that lead to no file or to no heading."""
    broken = []
    for path, anchor in local_targets(document):
        if not path.is_relative_to(ROOT) or not path.exists():
            broken.append(f"{path}: no such file")
        elif anchor and anchor not in anchors(path.read_text()):
            broken.append(f"{path}: no heading {anchor!r}")
    return broken


def kinds_of(command):
    """The options of a command; study also takes those of train."""
    modules = [command, "train"] if command == "study" else [command]
    return [importlib.import_module(f"alexnet_tf.{name}").OPTIONS for name in modules]


def fault_of(command, arguments):
    """What is wrong with a command of a page, as the command itself would say it.

    Its flags and those of its flag file are parsed, with their values.
    """
    if command not in package.COMMANDS:
        known = (ROOT / "alexnet_tf" / command).is_dir()
        return "" if known else f"no command {command}"
    given = [each for each in arguments if each.startswith("--") and each not in HELP]
    values = flags.FlagValues()
    try:
        for kind in kinds_of(command):
            options.define(kind, values)
        options.parse_flags(values, given)
        for kind in kinds_of(command):
            options.collect(kind, values)
    except flags.Error as error:
        return str(error)
    return ""


def missing_paths(text):
    """Paths of this repository that a page names in code, and that do not exist."""
    code = re.findall(r"(?<![\w./-])(?:tools|tests|custom_ops|docs)/[\w./*-]+", text)
    paths = {path.rstrip(".") for path in code}
    return sorted(path for path in paths if not list(ROOT.glob(path.rstrip("/"))))


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_link_leads_to_a_file_and_a_heading(document):
    assert broken_links(document) == []


def test_every_document_can_be_reached_from_the_readme():
    reached, to_read = {README}, [README]
    while to_read:
        for path, _ in local_targets(to_read.pop()):
            if path.suffix == ".md" and path not in reached:
                reached.add(path)
                to_read.append(path)
    assert {named(document) for document in set(DOCUMENTS) - reached} == set()


def test_every_picture_of_the_documents_is_shown_in_one():
    shown = {path for document in DOCUMENTS for path, _ in local_targets(document)}
    pictures = {*ROOT.glob("docs/**/*.png"), *ROOT.glob("docs/**/*.svg")}
    assert {named(picture) for picture in pictures - shown} == set()


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_no_document_has_a_gap_that_was_to_be_filled(document):
    gaps = r"\b(?:TODO|TBD|FIXME|XXX|MACHINE|DATE)\b"
    assert re.findall(gaps, document.read_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_picture_has_a_text_alternative(document):
    assert re.findall(r"!\[\s*\]\([^)]*\)", document.read_text()) == []


@pytest.mark.parametrize("document", DOCUMENTS, ids=named)
def test_every_documented_command_takes_its_flags_and_values(document, monkeypatch):
    monkeypatch.chdir(ROOT)
    wrong = [
        f"{command}: {fault}"
        for command, arguments in documented.calls(document.read_text())
        if (fault := fault_of(command, arguments))
    ]
    assert wrong == []


@pytest.mark.parametrize(
    "document", [each for each in DOCUMENTS if each.stem != "CHANGELOG"], ids=named
)
def test_every_path_that_a_document_names_exists(document):
    assert missing_paths(document.read_text()) == []


@pytest.mark.skipif(
    importlib.util.find_spec("mkdocs") is None,
    reason="MkDocs is not installed: pip install '.[docs]'",
)
def test_the_site_is_built_without_a_warning_and_its_pages_load_nothing_else(tmp_path):
    done = subprocess.run(
        [
            *(sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet"),
            *("--config-file", str(ROOT / "mkdocs.yml"), "--site-dir", str(tmp_path)),
        ],
        env=os.environ | {"NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    pages = [*tmp_path.glob("**/*.html")]
    assert len(pages) > len([*ROOT.glob("docs/**/*.md")])  # and 404.html
    for notebook in ROOT.glob("docs/**/*.ipynb"):
        page = tmp_path / notebook.relative_to(ROOT / "docs").with_suffix(".html")
        pictures = notebook.read_text().count('"image/png"')
        assert 0 < pictures == page.read_text().count("What the code above draws")
    assert "LocalResponseNormalization(" in (tmp_path / "api.html").read_text()
    for page in pages:
        text = page.read_text()
        loaded = re.findall(
            r"<(?:script|img|iframe)[^>]* src=\"?(https?:[^\" >]+)", text
        )
        assert set(loaded) <= {SEARCH_IN_FILES}
        assert not re.search(r"<link[^>]*https?:[^>]*stylesheet", text)
        assert not re.search(r"^(?:<p>)?\| ?-+ ?\|", text, re.MULTILINE)  # not a table


def test_faults_in_documents_are_found(tmp_path):
    page = tmp_path / "page.md"
    page.write_text(
        "# One `two`, [three](x.md)!\n\n```\n# Not one\n```\n\n# Four\n\n# Four\n"
    )
    assert anchors(page.read_text()) == {"one-two-three", "four", "four-1"}
    assert targets('![a](b.png "c") <img width="1" src="d.png">\n\n[e]: f.md') == [
        *("b.png", "f.md", "d.png"),
    ]
    assert targets("`[a](b.md)`\n\n```\n[a](b.md)\n```\n") == []
    text = "    python -m alexnet_tf.train --epochs=3 \\\n      --resum & # --not\n"
    assert list(documented.calls(text)) == [("train", ["--epochs=3", "--resum"])]
    assert "flag 'resum'" in fault_of("train", ["--epochs=3", "--resum"])
    assert "--precision=half" in fault_of("train", ["--nomirror", "--precision=half"])
    assert "--batch_size=0" in fault_of("train", ["--batch_size=0"])
    assert "tools/no.flags" in fault_of("train", ["--flagfile=tools/no.flags"])
    assert fault_of("trian", []) == "no command trian"
    assert fault_of("study", ["--vary=seed=1,2", "--epochs=1", "runs/a"]) == ""
    assert fault_of("train", ["--help"]) == ""
    assert missing_paths("`tools/demo.sh`, tools/no.sh.") == ["tools/no.sh"]


def test_the_documents_are_checked_without_tensorflow():
    code = (
        "import sys, tests.test_documents as t\n"
        "for name in t.package.COMMANDS: t.kinds_of(name)\n"
        "sys.exit('tensorflow' in sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)
