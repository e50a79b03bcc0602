"""What the runs of a study have found, and what that says about its settings.

A finished run has a file `result.json` in its folder, so that machines that share the
work of a study need no other file together.
"""

import dataclasses
import json
import math
import os
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from alexnet_tf.evaluation import measures
from alexnet_tf.runtime import files
from alexnet_tf.studies.plan import Plan, Run
from alexnet_tf.studies.trial import Length
from alexnet_tf.training import log_records

RESULT = "result.json"  # in the folder of a run
STUDY = "study.json"  # in the folder of a study

# What is measured of a run, and its title in a table.
MEASURES = {
    "passes": "passes",
    "train_error": "training top-1 error, %",
    "center_crop": "center crop, top-1 %",
    "ten_crop": "ten crops, top-1 %",
}


def read_log(run_dir: pathlib.Path) -> dict[str, list[list[float]]]:
    """Returns [step, loss, top-1 error] of the log's records, by kind of record."""
    records = log_records.read(run_dir)
    return {
        kind: [
            [record["step"], record["loss"], record["top1_error"]]
            for record in log_records.of_kind(kind, records)
        ]
        for kind in ("train", "validation")
    }


def training_s(run_dir: pathlib.Path, batch_size: int) -> float:
    """The seconds that the steps of a run took, without validations.

    Raises ValueError if no line of its log can be read.
    """
    records = log_records.read(run_dir)
    if not records:
        raise ValueError(f"{run_dir / log_records.FILE} has no line that can be read")
    return log_records.training_s(log_records.of_kind("train", records), batch_size)


def passes_to(
    train: Sequence[Sequence[float]], length: Length, limit: float
) -> float | None:
    """The passes after which the training error is at most `limit`; None if never.

    The error is the mean over a tenth of a pass, and the passes are those at its end.

    Args:
        train: [step, loss, top-1 error] of each record, in the order of the steps.
        length: of the training.
        limit: in percent.

    Example:
        >>> train = [[10, 2.0, 80.0], [20, 1.0, 30.0], [30, 0.5, 10.0]]
        >>> passes_to(train, Length(last_step=30, steps_per_epoch=100), 30.0)
        0.2
    """
    curve = smoothed(train, length)
    return next((passes for passes, error in curve if error <= limit), None)


def smoothed(
    train: Sequence[Sequence[float]], length: Length
) -> list[tuple[float, float]]:
    """(passes, training error in percent), each a mean over the tenth of a pass before.

    The arguments are those of `passes_to`.
    """
    tenth = length.steps_per_epoch / 10
    found = []
    for number, (step, *_) in enumerate(train):
        window = [
            error for at, _, error in train[: number + 1] if step - tenth < at <= step
        ]
        if step >= tenth:
            found.append((step / length.steps_per_epoch, statistics.fmean(window)))
    return found


def write_result(plan: Plan, run: Run, length: Length, *, batch_size: int) -> None:
    """Records a finished run; `evaluation.json` must be there if it was evaluated."""
    run_dir = plan.run_dir(run)
    about = json.loads((run_dir / "environment.json").read_text())
    machine = f"{about['cores']} cores of {about['processor']}"
    evaluation = run_dir / measures.FILE
    result = {
        "name": run.name,
        "values": dict(run.values),
        "seed": run.seed,
        "flags": plan.flags_of(run),
        "machine": about["GPUs"] or machine,
        "training_s": round(training_s(run_dir, batch_size), 1),
        "last_step": length.last_step,
        "steps_per_epoch": length.steps_per_epoch,
        **read_log(run_dir),
    }
    if evaluation.exists():
        measured = json.loads(evaluation.read_text())
        kept = ("split", "images", *measures.METHODS)
        result |= {name: measured[name] for name in kept}
    files.write_text(run_dir / RESULT, json.dumps(result) + "\n")


def recorded_factors(output: str | os.PathLike[str]) -> set[str] | None:
    """The flags that the study in a folder varies; None if it has no result yet."""
    try:
        return set(json.loads((pathlib.Path(output) / STUDY).read_text())["vary"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def read_results(plan: Plan) -> list[dict[str, Any]]:
    """The results of the runs of a plan that are finished, in their order.

    Raises ValueError if a file is damaged.
    """
    found = []
    for run in plan.runs():
        path = plan.run_dir(run) / RESULT
        if not path.exists():
            continue
        try:
            found.append(json.loads(path.read_text()))
        except json.JSONDecodeError as error:
            raise ValueError(
                f"{path} is damaged ({error}): remove it, and the run is measured again"
            ) from None
    return found


def measures_of(result: Mapping[str, Any], reach: float | None) -> dict[str, Any]:
    """The numbers of a run that are compared, by measure; None if never reached."""
    found: dict[str, Any] = {}
    length = Length(result["last_step"], result["steps_per_epoch"])
    if reach is not None:
        found["passes"] = passes_to(result["train"], length, reach)
    if result["train"]:
        last = result["train"][-1][0]
        tenth = [
            error
            for step, _, error in result["train"]
            if step > last - max(1, length.steps_per_epoch / 10)
        ]
        found["train_error"] = statistics.fmean(tenth)
    for method in measures.METHODS:
        if method in result:
            found[method] = result[method]["top1_error"]
    return found


def curves_of(
    results: Sequence[Mapping[str, Any]], setting: "Setting"
) -> dict[int, list[tuple[float, float]]]:
    """The `smoothed` training error of each seed of a setting."""
    return {
        each["seed"]: smoothed(
            each["train"], Length(each["last_step"], each["steps_per_epoch"])
        )
        for each in results
        if each["values"] == setting.values
    }


@dataclasses.dataclass(frozen=True)
class Spread:
    """A number by seed, with its mean and its standard deviation.

    Attributes:
        by_seed: the number of each seed; None if it was never reached.
        mean: None if one of them is None.
        deviation: of a sample (n - 1); None for fewer than two seeds.
    """

    by_seed: Mapping[int, float | None]

    @property
    def mean(self) -> float | None:
        values = list(self.by_seed.values())
        if not values or None in values:
            return None
        return statistics.fmean(v for v in values if v is not None)

    @property
    def deviation(self) -> float | None:
        values = [v for v in self.by_seed.values() if v is not None]
        if len(values) < max(2, len(self.by_seed)):
            return None
        return statistics.stdev(values)

    def minus(self, other: "Spread") -> "Spread":
        """The differences to another spread, of the seeds that both have.

        Example:
            >>> Spread({0: 5.0, 1: 7.0}).minus(Spread({0: 4.0, 1: 4.0, 2: 4.0})).by_seed
            {0: 1.0, 1: 3.0}
        """
        differences: dict[int, float | None] = {}
        for seed, own in self.by_seed.items():
            if seed in other.by_seed:
                its = other.by_seed[seed]
                known = own is not None and its is not None
                differences[seed] = own - its if known else None  # type: ignore[operator]
        return Spread(differences)

    def text(self, *, signed: bool = False) -> str:
        """As a cell of a table: "15.62 ± 0.05", and how many seeds never came so far."""
        if not self.by_seed:
            return ""
        never = sum(value is None for value in self.by_seed.values())
        if never or self.mean is None:
            return f"never in {never} of {len(self.by_seed)}"
        sign = "+" if signed else ""
        shown = f"{self.mean:{sign}.2f}"
        return shown if self.deviation is None else f"{shown} ± {self.deviation:.2f}"


@dataclasses.dataclass(frozen=True)
class Setting:
    """What the runs of one setting have found, by measure.

    Attributes:
        values: of the flags that vary.
        spreads: of each measure over the seeds.
        differences: the same, minus the first setting's, seed by seed.
        training_s: the mean time of its trainings.
        split: what the nets were evaluated on; "" if they were not.
    """

    values: Mapping[str, str]
    spreads: Mapping[str, Spread]
    differences: Mapping[str, Spread]
    training_s: float
    split: str = ""


def settings_of(
    results: Sequence[Mapping[str, Any]], *, reach: float | None = None
) -> list[Setting]:
    """Returns the settings of which at least one run is finished, in their order."""
    groups: dict[tuple[str, ...], list[Mapping[str, Any]]] = {}
    for result in results:
        groups.setdefault(tuple(result["values"].values()), []).append(result)
    found: list[Setting] = []
    for group in groups.values():
        measured = {each["seed"]: measures_of(each, reach) for each in group}
        names = [name for name in MEASURES if all(name in m for m in measured.values())]
        spreads = {
            name: Spread({seed: m[name] for seed, m in measured.items()})
            for name in names
        }
        first = found[0].spreads if found else {}
        found.append(
            Setting(
                group[0]["values"],
                spreads,
                {n: s.minus(first[n]) for n, s in spreads.items() if n in first},
                statistics.fmean(each["training_s"] for each in group),
                str(group[0].get("split", "")),
            )
        )
    return found


def label_of(setting: Setting) -> str:
    """What varies, in one line: "architecture=small, without=(none)"."""
    values = setting.values.items()
    return ", ".join(f"{f}={v or '(none)'}" for f, v in values) or "all"


def title_of(measure: str, settings: Sequence[Setting]) -> str:
    """The title of a measure, with the split that it is of: "ten crops, test top-1 %"."""
    splits = sorted({setting.split for setting in settings if setting.split})
    if measure not in measures.METHODS or not splits:
        return MEASURES[measure]
    return MEASURES[measure].replace("top-1", f"{' and '.join(splits)} top-1")


def main_measure(settings: Sequence[Setting]) -> str:
    """The measure that decides: passes, or else the error that was measured best."""
    common = [m for m in MEASURES if all(m in s.spreads for s in settings)]
    return "passes" if "passes" in common else common[-1]


def best_settings(settings: Sequence[Setting], flag: str) -> list[Setting]:
    """For each setting of the other flags, that with the best value of `flag`.

    The best one has the least mean of `main_measure`, and reaches it with most seeds.
    The differences are those to the first one of them.
    """
    measure = main_measure(settings)

    def cost(setting: Setting) -> tuple[int, float]:
        spread = setting.spreads[measure]
        known = [v for v in spread.by_seed.values() if v is not None]
        mean = statistics.fmean(known) if known else math.inf
        return len(spread.by_seed) - len(known), mean

    groups: dict[tuple[str, ...], list[Setting]] = {}
    for setting in settings:
        others = tuple(v for name, v in setting.values.items() if name != flag)
        groups.setdefault(others, []).append(setting)
    best = [min(group, key=cost) for group in groups.values()]
    return [
        dataclasses.replace(
            setting,
            differences={
                name: spread.minus(best[0].spreads[name])
                for name, spread in setting.spreads.items()
                if setting is not best[0] and name in best[0].spreads
            },
        )
        for setting in best
    ]


def summary_of(settings: Sequence[Setting]) -> list[dict[str, Any]]:
    """The settings as JSON holds them."""

    def numbers(spread: Spread) -> dict[str, Any]:
        return {
            "mean": spread.mean,
            "deviation": spread.deviation,
            "by_seed": {str(seed): value for seed, value in spread.by_seed.items()},
        }

    return [
        {
            "values": dict(setting.values),
            "training_s": round(setting.training_s, 1),
            "measures": {n: numbers(s) for n, s in setting.spreads.items()},
            "differences": {n: numbers(s) for n, s in setting.differences.items()},
        }
        for setting in settings
    ]


def table_of(settings: Sequence[Setting]) -> tuple[list[str], list[list[str]]]:
    """Returns (header, rows) of a table: a row per setting, with differences.

    The last columns compare a setting with the first one, seed by seed, by the measure
    that decides.
    """
    measure = main_measure(settings)
    shown = [m for m in MEASURES if any(m in s.spreads for s in settings)]
    flags = list(settings[0].values)
    header = [
        *flags,
        "seeds",
        *(title_of(m, settings) for m in shown),
        "difference",
        "lower in",
        "training, s",
    ]
    rows = []
    for setting in settings:
        seeds = next(iter(setting.spreads.values())).by_seed
        difference = setting.differences.get(measure, Spread({}))
        known = [d for d in difference.by_seed.values() if d is not None]
        lower = f"{sum(d < 0 for d in known)} of {len(known)}" if known else ""
        rows.append(
            [
                *(setting.values[flag] or "(none)" for flag in flags),
                str(len(seeds)),
                *(setting.spreads.get(m, Spread({})).text() for m in shown),
                difference.text(signed=True),
                lower,
                f"{setting.training_s:.0f}",
            ]
        )
    return header, rows
