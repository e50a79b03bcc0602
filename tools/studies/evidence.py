# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Makes the evidence of docs/results.md: trains run after run, and draws what came out.

    apt-get install dataset-fashion-mnist
    python tools/studies/evidence.py data          # 70,000 pictures, prepared twice
    python tools/studies/evidence.py lrn curves start precision kernels    # hours; it resumes
    python tools/studies/evidence.py draw          # docs/results/*.png, tables in docs/results.md

Studies: `curves`, both recipes on all pictures; `start`, whether the net starts to learn
at all; `precision`, the starts in float32 that `start` makes in bfloat16; `kernels`,
these starts in both with the fastest convolutions the machine has; `lrn`, the small net
with and without LRN. (The results of the first three are of convolutions as their sums
are written: they are older than `--winograd` and the tiles.) A finished run stands in
docs/results/STUDY.json and is not made again.
"""

import gzip
import itertools
import json
import pathlib
import platform
import shutil
import statistics
import subprocess
import sys
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import app, flags
from PIL import Image

_WORK = flags.DEFINE_string("work", "runs/evidence", "Folder for pictures and runs.")
_SOURCE = flags.DEFINE_string(
    "source", "/usr/share/datasets/fashion-mnist", "Folder of the four IDX files."
)

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
PAGE = ROOT / "docs" / "results.md"
RECIPES = {"paper": "tools/paper.flags", "code": "tools/cuda_convnet.flags"}
SEEDS = (0, 1, 2)
PRECISIONS = ("float32", "bfloat16")
CONVOLUTIONS = ("direct", "fastest")
START_STEPS = 300
# What three quarters of an hour allow on two AVX512-BF16 cores: 3.2 passes.
CURVE_STEPS = 1500


class Run(NamedTuple):
    """One training run of a study."""

    study: str
    name: str
    flags: tuple[str, ...]
    evaluated: bool


def runs(study: str) -> Iterator[Run]:
    """The runs of a study; a seed of every setting before the next seed."""
    full = ("--dataset={work}/fashion-256", "--tower_devices=auto")
    full += ("--schedule=epochs",)
    if study == "curves":
        # 468 steps a pass; the rate falls and colour noise ends when 4/5 are over.
        ends = ("--drop_epochs=2.6", "--color_noise_end_epoch=2.6")
        fixed = ("--bias_drop_epochs=2.6", "--conv1_drop_epoch=0")
        for recipe, file in RECIPES.items():
            yield Run(
                study,
                recipe,
                (
                    *(f"--flagfile={file}", *full, "--precision=bfloat16"),
                    *(*ends, *fixed, "--conv1_freeze_epoch=0"),
                    f"--max_steps={CURVE_STEPS}",
                ),
                True,
            )
    elif study in ("start", "precision"):
        started = study == "start"
        settings = itertools.product(
            (32, 128) if started else (32,),
            SEEDS,
            RECIPES.items(),
            ("original", "inverted") if started else ("original",),
        )
        for batch_size, seed, (recipe, file), dropout in settings:
            if (batch_size, seed, dropout) == (128, 0, "original"):
                continue  # the beginning of the recipe's curve, see `starts`
            precision = "bfloat16" if started else "float32"
            yield Run(
                study,
                f"{recipe}-{dropout}-{batch_size}-seed{seed}",
                (
                    *(f"--flagfile={file}", *full, f"--precision={precision}"),
                    *(f"--seed={seed}", f"--dropout={dropout}"),
                    *("--validate_epochs=-1", f"--batch_size={batch_size}"),
                    f"--max_steps={START_STEPS}",
                ),
                False,
            )
    elif study == "kernels":
        for seed, (recipe, file), precision in itertools.product(
            SEEDS, RECIPES.items(), PRECISIONS
        ):
            yield Run(
                study,
                f"{recipe}-{precision}-seed{seed}",
                (
                    *(f"--flagfile={file}", *full, f"--precision={precision}"),
                    *(f"--seed={seed}", "--validate_epochs=-1", "--batch_size=32"),
                    f"--max_steps={START_STEPS}",
                ),
                False,
            )
    elif study == "lrn":
        for seed in SEEDS:
            for net in ("cifar10_11pct", "cifar10_11pct_no_lrn"):
                yield Run(
                    study,
                    f"{net}-seed{seed}",
                    (
                        "--flagfile=tools/cifar10_11pct.flags",
                        *(f"--architecture={net}", f"--seed={seed}"),
                        *("--dataset={work}/fashion-32", "--validate_epochs=0"),
                        *("--epochs=3", "--drop_epochs=2.4,2.7"),
                    ),
                    True,
                )
    else:
        raise app.UsageError(
            f"no study {study!r}: data, curves, start, precision, kernels, lrn or draw"
        )


def module(name: str, *arguments: str) -> None:
    """python -m alexnet_tf.NAME; its failure ends this program with its status."""
    command = [sys.executable, "-m", f"alexnet_tf.{name}", *arguments]
    done = subprocess.run(command, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.returncode)


def pictures(work: pathlib.Path) -> None:
    """The IDX files as PNGs in a folder a class, and prepared at both sizes."""
    folder = work / "fashion"
    for split, prefix in (("train", "train"), ("test", "t10k")):
        images, labels = (
            _idx(pathlib.Path(_SOURCE.value) / f"{prefix}-{kind}-ubyte.gz")
            for kind in ("images-idx3", "labels-idx1")
        )
        for index, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / split / f"class{label}" / f"{index:05}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    for size in (32, 256):
        output = work / f"fashion-{size}"
        if not output.exists():
            module(
                "prepare",
                *(f"--source=folder:{folder}", f"--output={output}", f"--size={size}"),
            )


def _idx(path: pathlib.Path) -> np.ndarray:
    if not path.exists():
        raise SystemExit(
            f"{path} is not there: apt-get install dataset-fashion-mnist, or name "
            "another folder with --source"
        )
    content = gzip.decompress(path.read_bytes())
    rank = content[3]
    shape = np.frombuffer(content, ">i4", rank, offset=4)
    return np.frombuffer(content, np.uint8, offset=4 + 4 * rank).reshape(shape)


def make(run: Run, work: pathlib.Path) -> None:
    """Trains, evaluates, and writes the run's numbers among its study's."""
    path = RESULTS / f"{run.study}.json"
    results = json.loads(path.read_text()) if path.exists() else {}
    if run.name in results:
        return
    print(f"== {run.study}: {run.name}", flush=True)
    run_dir = work / run.study / run.name
    arguments = [flag.format(work=work) for flag in run.flags]
    module("train", *arguments, f"--run_dir={run_dir}", "--resume")
    result = {"flags": list(run.flags)}
    for line in (run_dir / "log.jsonl").read_text().splitlines():
        record = json.loads(line)
        if record["kind"] == "weights":
            continue
        kept = [record["step"], record["loss"], record["top1_error"]]
        result.setdefault(record["kind"], []).append(kept)
    if run.evaluated:
        module("evaluate", f"--checkpoint={run_dir}")
        evaluation = json.loads((run_dir / "evaluation.json").read_text())
        for way in ("center_crop", "ten_crop"):
            result[way] = evaluation[way]
    results[run.name] = result | {"machine": _machine()}
    partial = path.with_suffix(".partial")
    lines = (f"{json.dumps(name)}: {json.dumps(r)}" for name, r in results.items())
    partial.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    partial.rename(path)
    shutil.rmtree(run_dir)


def _machine() -> str:
    for line in pathlib.Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()


def read(study: str) -> dict:
    path = RESULTS / f"{study}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def starts() -> dict:
    """The study "start", with the beginnings of the curves, which are runs of it."""
    found = read("start")
    for recipe, result in read("curves").items():
        train = [kept for kept in result["train"] if kept[0] <= START_STEPS]
        found[f"{recipe}-original-128-seed0"] = {"train": train}
    return dict(sorted(found.items()))


def draw() -> None:
    """Pictures and tables of the runs that there are."""
    import matplotlib

    matplotlib.use("agg")
    from matplotlib import pyplot

    _draw_curves(pyplot, read("curves"))
    _draw_start(pyplot, starts())
    _draw_precision(pyplot, both_precisions())
    page = PAGE.read_text()
    for study, results, table in (
        ("curves", read("curves"), curves_table),
        ("start", starts(), start_table),
        ("precision", both_precisions(), precision_table),
        ("lrn", read("lrn"), lrn_table),
    ):
        shown = table(results) if results else "Not run yet.\n"
        if (RESULTS / f"{study}.png").exists():
            shown += f"\n![{study}](results/{study}.png)\n"
        before, rest = page.split(f"<!-- {study} -->\n")
        _, after = rest.split(f"<!-- end of {study} -->\n")
        page = f"{before}<!-- {study} -->\n{shown}<!-- end of {study} -->\n{after}"
    PAGE.write_text(page)


def _draw_curves(pyplot, results: dict) -> None:
    if not results:
        return
    figure, (left, right) = pyplot.subplots(1, 2, figsize=(10, 4))
    for name, result in results.items():
        steps, losses, errors = np.transpose(result["train"])
        left.plot(steps, losses, label=name)
        (line,) = right.plot(steps, errors, alpha=0.4)
        marks = np.transpose(result["validation"])
        right.plot(
            marks[0], marks[2], "o", color=line.get_color(), label=f"{name}, test"
        )
    left.set(xlabel="step", ylabel="loss, nats", yscale="log")
    right.set(xlabel="step", ylabel="top-1 error, %", ylim=(0, 100))
    for axes in (left, right):
        axes.legend()
    figure.tight_layout()
    figure.savefig(RESULTS / "curves.png", dpi=100)


def _draw_start(pyplot, results: dict) -> None:
    if not results:
        return
    figure, grid = pyplot.subplots(2, 2, figsize=(10, 7), sharex=True, sharey=True)
    for axes_row, recipe in zip(grid, RECIPES, strict=True):
        for axes, batch_size in zip(axes_row, (32, 128), strict=True):
            for color, dropout in (("C0", "original"), ("C3", "inverted")):
                group = _group(results, f"{recipe}-{dropout}-{batch_size}")
                for number, result in enumerate(group):
                    steps, losses, _ = np.transpose(result["train"])
                    label = None if number else f"{dropout} dropout"
                    axes.plot(steps, np.minimum(losses, 6), color, label=label)
            axes.axhline(np.log(10), color="grey", linestyle=":")
            axes.set(title=f"{recipe}, batch {batch_size}", ylim=(0, 6))
    grid[0][0].legend()
    figure.supxlabel("step")
    figure.supylabel("loss, nats (cut at 6); dotted: ln 10")
    figure.tight_layout()
    figure.savefig(RESULTS / "start.png", dpi=100)


def both_precisions() -> dict:
    """The starts that were made in both, as "RECIPE-PRECISION-CONVOLUTIONS-seedN"."""
    wide, narrow = read("precision"), read("start")
    found = {}
    for name in wide.keys() & narrow.keys():
        recipe, _, _, seed = name.split("-")
        found[f"{recipe}-float32-direct-{seed}"] = wide[name]
        found[f"{recipe}-bfloat16-direct-{seed}"] = narrow[name]
    for name, result in read("kernels").items():
        recipe, precision, seed = name.split("-")
        found[f"{recipe}-{precision}-fastest-{seed}"] = result
    return dict(sorted(found.items()))


def _draw_precision(pyplot, results: dict) -> None:
    if not results:
        return
    figure, row = pyplot.subplots(1, 2, figsize=(10, 4), sharey=True)
    for axes, recipe in zip(row, RECIPES, strict=True):
        for number, (precision, way) in enumerate(
            itertools.product(PRECISIONS, CONVOLUTIONS)
        ):
            label = f"{precision}, {way}"
            for result in _group(results, f"{recipe}-{precision}-{way}"):
                steps, losses, _ = np.transpose(result["train"])
                color = f"C{number}"
                axes.plot(steps, np.minimum(losses, 6), color, label=label, alpha=0.7)
                label = None
        axes.set(title=f"{recipe}, batch 32", xlabel="step", ylim=(0, 6))
    row[0].legend()
    row[0].set_ylabel("loss, nats (cut at 6)")
    figure.tight_layout()
    figure.savefig(RESULTS / "precision.png", dpi=100)


def _group(results: dict, prefix: str) -> list[dict]:
    return [r for name, r in results.items() if name.startswith(f"{prefix}-seed")]


def _rows(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [header, ["---"] * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


def curves_table(results: dict) -> str:
    header = ("recipe", "steps", "centre crop, top-1 / top-5 %", "ten crops")
    rows = [
        (
            name,
            str(result["train"][-1][0]),
            *(
                f"{result[way]['top1_error']:.2f} / {result[way]['top5_error']:.2f}"
                for way in ("center_crop", "ten_crop")
            ),
        )
        for name, result in results.items()
    ]
    return _rows(header, rows)


def start_table(results: dict) -> str:
    """A row a setting: the training loss and error of the last 50 steps, a seed each."""
    header = ("recipe", "dropout", "batch", "loss", "top-1 error %")
    rows = []
    for recipe in RECIPES:
        for dropout in ("original", "inverted"):
            for batch_size in (32, 128):
                group = _group(results, f"{recipe}-{dropout}-{batch_size}")
                if not group:
                    continue
                last = [np.mean(result["train"][-5:], axis=0) for result in group]
                rows.append(
                    (
                        *(recipe, dropout, str(batch_size)),
                        ", ".join(f"{loss:.2f}" for _, loss, _ in last),
                        ", ".join(f"{error:.0f}" for _, _, error in last),
                    )
                )
    return _rows(header, rows)


def precision_table(results: dict) -> str:
    """A row a way to compute each recipe: mean and deviation over the seeds."""
    header = ("recipe", "precision", "convolutions", "loss of each seed")
    header += ("mean ± deviation",)
    rows = []
    for recipe in RECIPES:
        for precision, way in itertools.product(PRECISIONS, CONVOLUTIONS):
            group = _group(results, f"{recipe}-{precision}-{way}")
            losses = [np.mean(result["train"][-5:], axis=0)[1] for result in group]
            if len(losses) > 1:
                spread = (
                    f"{statistics.mean(losses):.3f} ± {statistics.stdev(losses):.3f}"
                )
                each = ", ".join(f"{loss:.3f}" for loss in losses)
                rows.append((recipe, precision, way, each, spread))
    return _rows(header, rows)


def lrn_table(results: dict) -> str:
    """A row a net: mean and standard deviation over the seeds."""
    header = ("net", "seeds", "centre crop, top-1 %", "ten crops, top-1 %")
    rows = []
    for net in ("cifar10_11pct", "cifar10_11pct_no_lrn"):
        group = _group(results, net)
        if len(group) < 2:
            continue
        cells = []
        for way in ("center_crop", "ten_crop"):
            errors = [result[way]["top1_error"] for result in group]
            spread = statistics.stdev(errors)
            cells.append(f"{statistics.mean(errors):.2f} ± {spread:.2f}")
        rows.append((net, str(len(group)), *cells))
    return _rows(header, rows)


def main(arguments: Sequence[str]) -> None:
    work = pathlib.Path(_WORK.value).resolve()
    RESULTS.mkdir(exist_ok=True)
    if len(arguments) < 2:
        raise app.UsageError(
            "name what to do: data, curves, start, precision, kernels, lrn or draw"
        )
    for what in arguments[1:]:
        if what == "data":
            pictures(work)
        elif what == "draw":
            draw()
        else:
            for run in runs(what):
                make(run, work)


if __name__ == "__main__":
    app.run(main)
