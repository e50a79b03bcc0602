"""Reproduces docs/results.md: trains one run after the other, and draws the results.

    apt-get install dataset-fashion-mnist
    python tools/studies/evidence.py data     # prepares 70,000 images in two sizes
    python tools/studies/evidence.py lrn curves start precision kernels transfer  # hours
    python tools/studies/evidence.py draw     # docs/results/*.png, docs/results.md

The studies are:

curves     both recipes on all images
start      whether the net starts to learn at all, in bfloat16
precision  the same starts in float32
kernels    the same starts in both types, with the machine's fastest convolutions
lrn        the small net with and without LRN
transfer   the net with conv6, pre-trained on some classes and fine-tuned on others

The results of `curves`, `start` and `precision` were computed with direct convolutions,
because they are older than `--winograd` and the AMX tiles. A finished run is recorded
in docs/results/STUDY.json and is not repeated; an interrupted one is resumed, because
`alexnet_tf.study` trains them.
"""

import json
import pathlib
import shutil
import subprocess
import sys
from collections.abc import Sequence

import fashion_mnist
import results_tables
import study_results
import study_runs
from absl import app, flags

from alexnet_tf.evaluation import measures
from alexnet_tf.studies import results as run_results

_WORK = flags.DEFINE_string("work", "runs/evidence", "Folder for images and runs.")
_SOURCE = flags.DEFINE_string(
    "source", "/usr/share/datasets/fashion-mnist", "Folder of the four IDX files."
)

PAGE = study_results.ROOT / "docs" / "results.md"
# What is recorded of a run besides its flags.
KEPT = ("train", "validation", *measures.METHODS, "machine")
ACTIONS = ("data", *study_runs.STUDIES, "draw")


def run_command(name: str, *arguments: str) -> None:
    """Runs `python -m alexnet_tf.NAME`; if it fails, exits with its status."""
    command = [sys.executable, "-m", f"alexnet_tf.{name}", *arguments]
    done = subprocess.run(command, cwd=study_results.ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def prepare_images(work: pathlib.Path) -> None:
    """Prepares Fashion-MNIST at 32 and at 256 pixels, and two parts of it."""
    others = set(range(10)) - set(study_runs.TOPS)
    for folder, size, classes, most in (
        ("fashion-32", 32, range(10), None),
        ("fashion-256", 256, range(10), None),
        ("fashion-others", 256, others, 1600),
        ("fashion-tops", 256, study_runs.TOPS, 250),
    ):
        output, images = work / folder, work / "images" / folder
        if output.exists():
            continue
        fashion_mnist.write_images(
            pathlib.Path(_SOURCE.value), images, classes=classes, most=most
        )
        run_command(
            "prepare",
            *(f"--source=folder:{images}", f"--output={output}", f"--size={size}"),
        )
        shutil.rmtree(images)


def make_runs(study: str, work: pathlib.Path) -> None:
    """Trains and measures the runs of a study whose results are not recorded yet."""
    recorded = study_results.read(study)
    runs = [run for run in study_runs.STUDIES[study]() if run.name not in recorded]
    for flags_of_all, group in study_runs.settings(runs).items():
        output = work / study / group[0].setting
        seeds = ",".join(str(run.seed) for run in group)
        run_command(
            "study",
            *(flag.format(work=work) for flag in flags_of_all),
            *(f"--seeds={seeds}", f"--output={output}"),
            f"--evaluate={group[0].evaluated}",
        )
        for run in group:
            run_dir = output / f"run-seed{run.seed}"
            found = json.loads((run_dir / run_results.RESULT).read_text())
            kept = {name: found[name] for name in KEPT if found.get(name)}
            study_results.add(study, run.name, {"flags": list(run.flags), **kept})
            if not run.kept:
                shutil.rmtree(run_dir)


def draw() -> None:
    """Draws the figures, and writes the tables into docs/results.md."""
    import drawing

    curves, starts = study_results.read("curves"), study_results.starts()
    precisions = study_results.both_precisions()
    for study, results, table, figure in (
        ("curves", curves, results_tables.curves_table, drawing.draw_curves),
        ("start", starts, results_tables.start_table, drawing.draw_start),
        (
            "precision",
            precisions,
            results_tables.precision_table,
            drawing.draw_precision,
        ),
        ("lrn", study_results.read("lrn"), results_tables.lrn_table, None),
        (
            "transfer",
            study_results.read("transfer"),
            results_tables.transfer_table,
            drawing.draw_transfer,
        ),
    ):
        shown = table(results) if results else "Not run yet.\n"
        if figure and results:
            figure(results, study_results.RESULTS / f"{study}.png")
            shown += f"\n![{study}](results/{study}.png)\n"
        replace_block(study, shown)


def replace_block(study: str, shown: str) -> None:
    """Replaces what docs/results.md has between the two markers of a study."""
    begin, end = f"<!-- {study} -->\n", f"<!-- end of {study} -->\n"
    before, rest = PAGE.read_text().split(begin)
    _, after = rest.split(end)
    PAGE.write_text(before + begin + shown + end + after)


def main(arguments: Sequence[str]) -> None:
    actions = arguments[1:]
    if not actions or not set(actions) <= set(ACTIONS):
        raise app.UsageError(
            f"name one or more of {', '.join(ACTIONS)}; got {' '.join(actions) or 'none'}"
        )
    work = pathlib.Path(_WORK.value).resolve()
    for action in actions:
        if action == "data":
            prepare_images(work)
        elif action == "draw":
            draw()
        else:
            make_runs(action, work)


if __name__ == "__main__":
    app.run(main)
