"""What the runs of the studies gave: docs/results/STUDY.json, by the name of the run.

A result has the run's flags, the machine, and `train` and `validation`, which list
[step, loss, top-1 error in percent]. Evaluated runs also have `center_crop` and
`ten_crop`.
"""

import json
import pathlib

import study_runs

from alexnet_tf.runtime import files

ROOT = pathlib.Path(__file__).resolve().parents[2]
RESULTS = ROOT / "docs" / "results"
CONVOLUTIONS = ("direct", "fastest")


def read(study: str) -> dict[str, dict]:
    """The results of a study's runs; none if the study has not been run."""
    path = RESULTS / f"{study}.json"
    return json.loads(path.read_text()) if path.exists() else {}


def add(study: str, name: str, result: dict) -> None:
    """Writes one run's result beside those of its study, with one line per run."""
    results = read(study) | {name: result}
    lines = (f"{json.dumps(name)}: {json.dumps(r)}" for name, r in results.items())
    RESULTS.mkdir(exist_ok=True)
    files.write_text(RESULTS / f"{study}.json", "{\n" + ",\n".join(lines) + "\n}\n")


def starts() -> dict[str, dict]:
    """The study `start`, completed with the beginnings of the curves."""
    found = read("start")
    for recipe, result in read("curves").items():
        train = [kept for kept in result["train"] if kept[0] <= study_runs.START_STEPS]
        found[f"{recipe}-original-128-seed0"] = {"train": train}
    return dict(sorted(found.items()))


def both_precisions() -> dict[str, dict]:
    """The starts made in both types, by "RECIPE-PRECISION-CONVOLUTIONS-seedN"."""
    float32, bfloat16 = read("precision"), read("start")
    found = {}
    for name in float32.keys() & bfloat16.keys():
        recipe, _, _, seed = name.split("-")
        found[f"{recipe}-float32-direct-{seed}"] = float32[name]
        found[f"{recipe}-bfloat16-direct-{seed}"] = bfloat16[name]
    for name, result in read("kernels").items():
        recipe, precision, seed = name.split("-")
        found[f"{recipe}-{precision}-fastest-{seed}"] = result
    return dict(sorted(found.items()))


def of_all_seeds(results: dict[str, dict], setting: str) -> list[dict]:
    """The results of one setting, one per seed."""
    return [
        result for name, result in results.items() if name.startswith(f"{setting}-seed")
    ]
