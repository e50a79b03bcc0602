"""The command `report`: one page about runs, also in a browser."""

import base64
import json
import pathlib
import re
import shutil

import pytest

from alexnet_tf import evaluate
from alexnet_tf import report as command
from alexnet_tf.drawing import gallery
from alexnet_tf.drawing.report import composition
from alexnet_tf.models import trained
from alexnet_tf.runtime import options
from tests.support import browser, commands, nets, runs

HOSTILE = '<img src=x onerror=alert(1)> & "quotes"'


def write(*named, **chosen):
    """Writes a report of runs; returns the text of the page."""
    chosen = options.replace(command.OPTIONS(), **chosen)
    command.main(chosen, [str(run) for run in named])
    return pathlib.Path(chosen.page.output).read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def evaluated_run(trained_run, tmp_path_factory):
    """A run that has everything that a page can show; its name is a stranger's."""
    folder = tmp_path_factory.mktemp("runs") / HOSTILE
    shutil.copytree(trained_run, folder)
    evaluate.main(options.replace(evaluate.OPTIONS(), checkpoint=str(folder)), [])
    return folder


@pytest.fixture(scope="module")
def imported_run(tmp_path_factory):
    """An imported net with two towers, which has neither a dataset nor a log."""
    origin = trained.Imported("weights.npy", "NumPy dictionary", "ab" * 32)
    names = ("cat", "dog", HOSTILE, "猫", "قطة")
    folder = tmp_path_factory.mktemp("runs") / "imported"
    return runs.write_untrained(folder, nets.SMALL, imported=origin, class_names=names)


@pytest.fixture(scope="module")
def page_of_one(evaluated_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "one.html"
    write(evaluated_run, output=str(path))
    return path


@pytest.fixture(scope="module")
def page_of_two(evaluated_run, imported_run, tmp_path_factory):
    path = tmp_path_factory.mktemp("pages") / "two.html"
    write(evaluated_run, imported_run, output=str(path))
    return path


def test_a_page_of_a_run_shows_all_figures_and_the_command_says_its_size(
    evaluated_run, tmp_path, capsys
):
    path = tmp_path / "new folder" / "page.html"
    text = write(evaluated_run, output=str(path))
    printed = capsys.readouterr()
    assert ">Beside the paper</h2>" in text
    assert '<td class="short">37.5 / 17.0</td>' in text
    row = text.partition("cifar10_11pct</th>")[2].partition("</tr>")[0]
    cells = re.findall(r"<td[^>]*>(.*?)</td>", row)
    assert cells[0].endswith(" validation")
    assert cells[1:3] == ["", ""]
    assert re.fullmatch(
        r"\d+\.\d\d / \N{EN DASH}", cells[3]
    )  # no top-5 error of 3 classes
    titles = re.findall("<h2[^>]*>(.*?)</h2>", text)
    assert titles.index("Predictions") < titles.index("Beside the paper")
    assert text.count('<img src="data:image/') == len(composition.FIGURES)
    assert "is not shown" not in text + printed.err
    size = f"{path.stat().st_size / 1e6:.2f} MB"
    assert printed.out == f"{path}: {size}\n"
    assert f"This page has {size}" in text
    assert path.stat().st_size < composition.LIMIT


def test_curves_of_several_runs_are_also_in_one_figure(evaluated_run, tmp_path):
    runs = (evaluated_run, evaluated_run / "best")
    text = write(*runs, output=str(tmp_path / "page.html"), query_count=1)
    assert text.count("<img") == 2 * len(composition.FIGURES) + 1
    first, _, _ = text.partition("Beside the paper</h2>")
    assert first.count("<img") == text.count("<img")  # the paper is the last part
    first, _, _ = text.partition('id="run1"')
    assert first.count("<img") == 1  # among the numbers of all runs


def test_the_same_run_gives_the_same_page(evaluated_run, page_of_one, tmp_path):
    again = tmp_path / page_of_one.name
    written = write(evaluated_run, output=str(again))
    assert written.replace(str(again), str(page_of_one)) == page_of_one.read_text()


def test_what_an_imported_net_cannot_give_is_named_in_its_place(
    imported_run, tmp_path, capsys
):
    text = write(imported_run, output=str(tmp_path / "page.html"))
    said = capsys.readouterr().err
    for what in ("predictions", "the nearest images", "the confusion"):
        assert f"The picture of {what} is not shown: the net was imported" in said
    row = text.partition("imported</th>")[2].partition("</tr>")[0]
    assert "was not trained here" in row
    assert text.count("<img") == 2  # the architecture and the filters
    assert "such a file does not record the training" in text
    assert "--dataset" in text


def test_a_run_without_a_checkpoint_still_has_a_page(evaluated_run, tmp_path):
    folder = tmp_path / "begun"
    shutil.copytree(evaluated_run, folder)
    for name in ("checkpoints", "best"):
        shutil.rmtree(folder / name)
    text = write(folder, output=str(tmp_path / "page.html"))
    assert "holds no checkpoint" in text
    assert "All options" in text


def test_a_checkpoint_that_is_damaged_costs_only_its_figures(evaluated_run, tmp_path):
    folder = tmp_path / "damaged"
    shutil.copytree(evaluated_run, folder)
    for path in (folder / "checkpoints").glob("*.data*"):
        path.write_bytes(b"nothing")
    text = write(folder, output=str(tmp_path / "page.html"))
    assert "The picture of the filters is not shown:</strong> checkpoint " in text
    assert "top-1 error" in text


def test_an_existing_page_stays_if_the_new_one_fails(tmp_path):
    path = tmp_path / "page.html"
    path.write_text("before")
    with pytest.raises(OSError, match="there is no checkpoint"):
        write(tmp_path / "nothing", output=str(path))
    assert path.read_text() == "before"


def test_a_page_that_would_be_too_large_is_not_written(
    evaluated_run, tmp_path, monkeypatch
):
    monkeypatch.setattr(composition, "LIMIT", 10_000)
    with pytest.raises(ValueError, match=r"would have .* MB, and 0.01 MB is the most"):
        write(evaluated_run, output=str(tmp_path / "page.html"))
    assert list(tmp_path.iterdir()) == []


def test_figures_that_would_be_too_large_are_made_smaller(
    evaluated_run, page_of_one, tmp_path, monkeypatch
):
    monkeypatch.setattr(composition, "_FOR_IMAGES", page_of_one.stat().st_size // 2)
    path = tmp_path / "page.html"
    text = write(evaluated_run, output=str(path))
    assert "data:image/webp;" in text
    assert path.stat().st_size < page_of_one.stat().st_size


@pytest.mark.parametrize(
    "damage",
    [
        {"log.jsonl": '{"kind": "train", "step": 10, "images_per_s": 0}'},
        {"log.jsonl": '{"kind": "train", "step": 10}', "evaluation.json": "{}"},
        {
            **dict.fromkeys(("log.jsonl", "evaluation.json"), "[" * 100_000),
            **{"resolved.flags": "--no_such_flag=1", "environment.json": "[]"},
        },
    ],
    ids=["no speed", "no numbers", "nothing right"],
)
def test_damaged_files_cost_only_what_is_in_them(evaluated_run, tmp_path, damage):
    folder = tmp_path / "damaged"
    shutil.copytree(evaluated_run, folder)
    for name, text in damage.items():
        (folder / name).write_text(text)
    page = write(folder, output=str(tmp_path / "page.html"))
    for name in damage:
        assert f"{name} " in page or f"{name}:" in page
    assert page.count("<img") == len(composition.FIGURES) - 1  # not the curves


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ([], "name a run folder or a checkpoint: python -m alexnet_tf.report"),
        (["gs://bucket/run"], "gs:// is not supported"),
        (["nothing"], "there is no checkpoint nothing"),
        (
            [".", "--output=page.pdf"],
            "--output=page.pdf: the name of a page ends in .html",
        ),
        ([".", "--output=folder.html"], "folder.html is a folder"),
    ],
)
def test_a_mistake_is_one_line(arguments, said, tmp_path):
    (tmp_path / "folder.html").mkdir()
    done = commands.run("report", *arguments, cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("alexnet_tf.report: ")
    assert said in done.stderr
    assert done.stderr.count("\n") == 1


def readable(page):
    """All text of a page, and the bytes of its images, in which captions may be."""
    images = re.findall('src="data:[^,]*,([^"]*)"', page)
    return page.encode() + b"".join(map(base64.b64decode, images))


@pytest.mark.parametrize("complete", [True, False])
def test_nothing_on_a_page_says_whose_machine_it_was_or_where(
    evaluated_run, small_dataset, tmp_path, monkeypatch, complete
):
    home = tmp_path / "home" / "zuleika"
    monkeypatch.setenv("HOME", str(home))
    data, run = home / "my data" / "small images", home / "runs of zuleika" / "mine"
    shutil.copytree(small_dataset.path, data)
    shutil.copytree(evaluated_run, run)
    places = {str(small_dataset.path): str(data), str(evaluated_run): str(run)}
    for name in ("model.json", "evaluation.json", "resolved.flags"):
        text = (run / name).read_text()
        for before, now in places.items():
            text = text.replace(json.dumps(before)[1:-1], now).replace(before, now)
        (run / name).write_text(text)
    about = json.loads((run / "environment.json").read_text())
    about["host"] = "lab-machine-7"
    (run / "environment.json").write_text(json.dumps(about))
    if not complete:
        shutil.rmtree(data)
        (run / "evaluation.json").unlink()
        (run / "log.jsonl").write_text("")
    page = readable(write(run, output=str(home / "page.html"), query_count=1))
    for private in ("zuleika", "lab-machine", str(tmp_path), "my data", "HOME"):
        at = page.find(private.encode())
        assert at < 0, page[max(0, at - 200) : at + 100]
    assert page.count(b"mine") > 3
    assert b"small images" in page


def test_an_error_that_training_measured_is_shown_without_an_evaluation(
    evaluated_run, tmp_path
):
    folder = tmp_path / "run"
    shutil.copytree(evaluated_run, folder)
    (folder / "evaluation.json").unlink()
    page = write(folder, output=str(tmp_path / "page.html"), query_count=1)
    (last,) = runs.log_of(folder, "validation")
    error = f"{last['top1_error']:.2f} % with the center crop (validation split, "
    assert page.count(error) == 3  # the summary, the errors and the model card
    assert "Not known" not in page.partition("Top-1 error")[2].partition("</tr>")[0]
    note = (
        f"Ten crops were not measured at step {last['step']}: python -m alexnet_tf.eval"
    )
    assert note in page


def test_choices_reach_the_figures(imported_run, tmp_path, monkeypatch):
    asked = {}

    def draw(name, subject):
        asked.update(name=name, choices=subject.choices, precision=subject._precision)
        raise ValueError("enough")

    monkeypatch.setattr(gallery, "draw", draw)
    text = write(
        imported_run,
        output=str(tmp_path / "page.html"),
        **{"split": "test", "seed": 3, "batch_size": 7, "precision": "float32"},
        **{"license": "CC BY 4.0", "intended_use": "Sorting cats."},
    )
    choices = asked["choices"]
    assert (choices.split, choices.seed, choices.batch_size) == ("test", 3, 7)
    assert asked["precision"] == "float32"
    assert "CC BY 4.0" in text
    assert "Sorting cats." in text


# JavaScript: the images that are broken, empty, invisible or without words.
_POOR_IMAGES = """
[...document.images].filter(image => {
  const box = image.getBoundingClientRect();
  return !(image.complete && image.naturalWidth > 0 && image.alt.trim()
           && box.width > 100 && box.height > 20
           && image.closest("figure").querySelector("figcaption").innerText.trim());
}).map(image => image.src.slice(0, 40))
"""
_WIDER_THAN_THE_WINDOW = "document.documentElement.scrollWidth > innerWidth"
# How far apart the colors of two elements are, as WCAG 2 defines it.
_LEAST_CONTRAST = """
(() => {
  const numbers = color => color.match(/[0-9.]+/g).map(Number);
  const light = color => numbers(color).slice(0, 3).map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, n) => sum + v * [0.2126, 0.7152, 0.0722][n], 0);
  const ground = element => {
    for (let e = element; e; e = e.parentElement) {
      const color = getComputedStyle(e).backgroundColor;
      if (numbers(color).length === 3 || numbers(color)[3] > 0) return color;
    }
  };
  const contrasts = [...document.querySelectorAll("h1, h2, p, a, th, td, code, summary, "
      + "caption, figcaption, .why")].filter(e => e.innerText.trim()).map(e => {
    const pair = [light(getComputedStyle(e).color), light(ground(e))].sort((a, b) => b - a);
    return (pair[0] + 0.05) / (pair[1] + 0.05);
  });
  return Math.min(...contrasts);
})()
"""


@pytest.fixture(scope="module")
def chromium():
    with browser.opened() as opened:
        yield opened


@browser.needs_browser
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_a_browser_shows_every_image_and_has_no_complaint(
    chromium, page_of_one, page_of_two, width, dark
):
    for path, images in (
        (page_of_one, len(composition.FIGURES)),
        (page_of_two, len(composition.FIGURES) + 2),
    ):
        chromium.show(path, width=width, dark=dark)
        assert chromium.evaluate("document.images.length") == images
        assert chromium.evaluate(_POOR_IMAGES) == []
        assert chromium.evaluate(_WIDER_THAN_THE_WINDOW) is False
        assert chromium.evaluate(_LEAST_CONTRAST) >= 4.5
    assert chromium.complaints == []
    assert set(chromium.requests) <= {p.as_uri() for p in (page_of_one, page_of_two)}


@browser.needs_browser
def test_the_two_color_schemes_differ(chromium, page_of_one):
    grounds = []
    for dark in (False, True):
        chromium.show(page_of_one, width=1280, dark=dark)
        grounds.append(
            chromium.evaluate("getComputedStyle(document.body).backgroundColor")
        )
    assert grounds[0] != grounds[1]


@browser.needs_browser
def test_a_screen_reader_finds_headings_tables_and_images(chromium, page_of_one):
    chromium.show(page_of_one, width=1280)
    tree = chromium.accessibility_tree()
    roles = [role for role, _ in tree]
    assert {"main", "navigation", "table", "heading", "rowheader"} <= set(roles)
    headings = [name for role, name in tree if role == "heading"]
    assert headings[0] == f"Report of {HOSTILE}"
    assert {"Command", "Data", "Model card"} <= set(headings)
    for role in ("image", "table", "region", "link", "navigation"):
        assert all(name.strip() for found, name in tree if found == role), role
    assert roles.count("image") == len(composition.FIGURES)


@browser.needs_browser
def test_the_keyboard_reaches_the_contents_and_the_sections(chromium, page_of_one):
    chromium.show(page_of_one, width=390)
    focused = "document.activeElement.getAttribute('href')"
    chromium.press("Tab")
    assert chromium.evaluate(focused) == "#main"
    chromium.press("Tab")
    assert chromium.evaluate(focused) == "#summary"
    chromium.press("Tab")
    chromium.press("Enter")
    assert chromium.evaluate("location.hash") == "#predictions"
    assert chromium.evaluate("scrollY") > 0
    # Every link of the contents leads to a heading.
    assert (
        chromium.evaluate(
            "[...document.querySelectorAll('nav a')].filter(a => "
            "!/^H[23]$/.test(document.querySelector(a.hash)?.tagName)).length"
        )
        == 0
    )


@browser.needs_browser
def test_the_browser_of_the_tests_notices_what_is_wrong(chromium, tmp_path):
    """Otherwise the tests above could not fail."""
    path = tmp_path / "wrong.html"
    path.write_text(
        "<!DOCTYPE html><body style='color: #777; background: #888'><p>faint</p>"
        "<figure><img src='data:image/png;base64,AAAA' alt='a'><figcaption>b</figcaption>"
        "</figure><div style='width: 3000px'>wide</div><img src='http://127.0.0.1:9/x'>"
        "<script>console.log('hello'); undefined_name()</script>"
    )
    before = len(chromium.complaints), len(chromium.requests)
    chromium.show(path, width=390)
    assert chromium.evaluate("document.images[0].naturalWidth") == 0
    assert chromium.evaluate(_WIDER_THAN_THE_WINDOW) is True
    assert chromium.evaluate(_LEAST_CONTRAST) < 2
    complaints = chromium.complaints[before[0] :]
    assert any("hello" in each for each in complaints)
    assert any("Uncaught" in each for each in complaints)
    assert "http://127.0.0.1:9/x" in chromium.requests[before[1] :]
    del chromium.complaints[before[0] :], chromium.requests[before[1] :]
