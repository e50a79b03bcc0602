"""What run folders, studies and averages of nets say about themselves. No TensorFlow."""

import dataclasses
import json
import os
import pathlib
import shlex
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from absl import flags

from alexnet_tf.evaluation import measures
from alexnet_tf.models import run_description, zoo
from alexnet_tf.models.architecture import Dropout, Weighted
from alexnet_tf.runtime import errors, options, suggestions
from alexnet_tf.studies import results
from alexnet_tf.training import train_options

# They do not tell one kind of run from another.
_NOT_OF_A_KIND = {"seed", "run_dir", "resume", "tower_devices", "precision", "winograd"}

# What is raised if a file of a run is damaged, or if something else was given.
_UNREADABLE = (
    *(OSError, ValueError, ArithmeticError, LookupError, RecursionError, TypeError),
    flags.Error,
)


@dataclasses.dataclass(frozen=True)
class Trained:
    """A net that was trained here and evaluated.

    Attributes:
        path: the run folder.
        options: of its training, by name.
        architecture: the name of the net.
        images: the digest of the dataset that it was trained on.
        dataset, split: the name of the dataset that it was evaluated on, and the split.
        errors: top-1 and top-5 error by method; without the top-5 error if five classes
            or fewer make it 0.
        fine_tuned: whether it started from the weights of another run.
        training_s, machine: how long it trained, and where.
    """

    path: str
    options: Mapping[str, Any]
    architecture: str
    images: str
    dataset: str
    split: str
    errors: Mapping[str, Mapping[str, float]]
    fine_tuned: bool
    training_s: float
    machine: str

    @property
    def kind(self) -> tuple[tuple[str, Any], ...]:
        """What it shares with the runs of other seeds."""
        return kind_of(self.options, self.images, self.dataset, self.split)


@dataclasses.dataclass(frozen=True)
class Averaged:
    """Several nets whose answers were averaged by `evaluate --output`.

    Attributes:
        path: of the file.
        nets: the architectures.
        dataset, split: on which they were evaluated.
        mean, average: the means of their errors, and the errors of their average, by
            method.
    """

    path: str
    nets: tuple[str, ...]
    dataset: str
    split: str
    mean: Mapping[str, Mapping[str, float]]
    average: Mapping[str, Mapping[str, float]]


@dataclasses.dataclass(frozen=True)
class Lacking:
    """Something that was given to a table and has no numbers for it.

    Attributes:
        path: as it was given.
        why: what is missing or wrong.
        command: what makes the numbers; "" if no command does, because the path is wrong.
        architecture: of a run that was not evaluated; "" if it is not known.
    """

    path: str
    why: str
    command: str = ""
    architecture: str = ""


@dataclasses.dataclass(frozen=True)
class Measured:
    """All that was given to a table."""

    trained: tuple[Trained, ...] = ()
    averaged: tuple[Averaged, ...] = ()
    studies: tuple[Mapping[str, Any], ...] = ()
    lacking: tuple[Lacking, ...] = ()


def kind_of(
    chosen: Mapping[str, Any], images: str, dataset: str, split: str
) -> tuple[tuple[str, Any], ...]:
    """A key for the runs that differ in nothing but their seeds."""
    fields = (f for _, f in options.fields_of(train_options.TrainOptions))
    kept = {
        options.flag_name(field) for field in fields if not field.metadata["changeable"]
    }
    kept |= {"epochs", "max_steps"}
    values = {n: v for n, v in chosen.items() if n in kept - _NOT_OF_A_KIND}
    net = zoo.find(chosen["architecture"])
    for flag, of_layers in (
        ("dropout_rate", {x.rate for x in net.layers if isinstance(x, Dropout)}),
        (
            "weight_decay",
            {x.weight_decay for x in net.layers if isinstance(x, Weighted)},
        ),
    ):
        if of_layers == {values[flag]}:
            values[flag] = None  # what the net has by itself
    where = {"images": images, "dataset": dataset, "split": split}
    return tuple(sorted((values | where).items()))


def read(paths: Iterable[str | os.PathLike[str]]) -> Measured:
    """Reads run folders, folders of studies, and files of `evaluate --output`.

    Of several runs with the same options and seed, as the whole net in two studies, one
    counts. What has no numbers, because it was not evaluated, is damaged, or is not
    there, is `lacking` and keeps nothing else from being read.
    """
    trained: dict[Any, Trained] = {}
    averaged: list[Averaged] = []
    studies: list[Mapping[str, Any]] = []
    lacking: list[Lacking] = []
    for path in map(pathlib.Path, paths):
        try:
            runs: list[pathlib.Path] = []
            if path.is_file():
                averaged.append(_read_average(path))
            elif (path / results.STUDY).exists():
                study = _read_json(path / results.STUDY)
                runs = list(_runs_of(path, study))
                studies.append(study)
            elif (path / run_description.MODEL_FILE).exists():
                runs = [path]
            else:
                _refuse(path)
        except _UNREADABLE as error:
            lacking.append(Lacking(str(path), errors.one_line(error).rstrip(".")))
            continue
        for each in runs:
            try:
                run = _read_run(each)
            except _UNREADABLE as error:
                lacking.append(Lacking(str(each), errors.one_line(error).rstrip(".")))
                continue
            if isinstance(run, Lacking):
                lacking.append(run)
            else:
                trained.setdefault((run.kind, run.options["seed"]), run)
    return Measured(
        tuple(trained.values()), tuple(averaged), tuple(studies), tuple(lacking)
    )


def _refuse(path: pathlib.Path) -> None:
    """Raises the error for a path that has nothing to read."""
    if path.exists():
        raise ValueError(
            f"{path} is neither a run folder, nor the folder of a study, nor a file of "
            "evaluate --output"
        )
    raise FileNotFoundError(
        f"{path} does not exist{suggestions.did_you_mean_path(path)}"
    )


def _runs_of(path: pathlib.Path, study: Mapping[str, Any]) -> Iterator[pathlib.Path]:
    """The folders of the runs of a study that were evaluated."""
    try:
        names = [run["name"] for run in study["runs"] if "ten_crop" in run]
    except (KeyError, TypeError) as error:
        raise ValueError(f"{path / 'study.json'} is damaged: {error!r}") from None
    yield from (path / name for name in names)


def _read_json(path: pathlib.Path) -> Any:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        raise ValueError(f"{path} is damaged, or no JSON: {error}") from None
    if not isinstance(found, dict):
        raise ValueError(f"{path} is damaged: it holds no JSON object")
    return found


def _read_run(path: pathlib.Path) -> Trained | Lacking:
    model = _read_json(path / run_description.MODEL_FILE)
    if not (path / train_options.RECORD).exists():
        raise ValueError(
            f"{path} was not trained here (it has no {train_options.RECORD}), so it is "
            "no reproduction: leave it out"
        )
    if not (path / measures.FILE).exists():
        return Lacking(
            str(path),
            "not evaluated yet",
            shlex.join(["python", "-m", "alexnet_tf.evaluate", f"--checkpoint={path}"]),
            str(model["architecture"]["name"]),
        )
    evaluation = _read_json(path / measures.FILE)
    chosen = train_options.read_record(path)
    about = _read_json(path / "environment.json")
    try:
        return Trained(
            str(path),
            options.values_of(chosen),
            model["architecture"]["name"],
            model["dataset"]["digest"],
            _dataset_name(evaluation["dataset"]),
            evaluation["split"],
            _errors(evaluation, len(model["class_names"])),
            chosen.start.weights is not None,
            results.training_s(path, chosen.recipe.batch_size),
            about["GPUs"] or f"{about['cores']} cores of {about['processor']}",
        )
    except (KeyError, TypeError) as error:
        raise ValueError(
            f"{path}: model.json, evaluation.json or environment.json lacks {error}: it "
            "is damaged, or another version wrote it"
        ) from None


def _read_average(path: pathlib.Path) -> Averaged:
    found = _read_json(path)
    try:
        classes = len(_description(found["dataset"]).get("classes", range(1000)))
        return Averaged(
            str(path),
            tuple(net["architecture"] for net in found["nets"]),
            _dataset_name(found["dataset"]),
            found["split"],
            _errors(found["mean"], classes),
            _errors(found["average"], classes),
        )
    except (KeyError, TypeError):
        raise ValueError(
            f"{path} is no result of evaluate --output for several nets"
        ) from None


def _dataset_name(path: str) -> str:
    """The name of a prepared dataset; that of its folder if it is not there any more."""
    return str(_description(path).get("name", pathlib.Path(path).name))


def _description(path: str) -> dict[str, Any]:
    """What a prepared dataset says of itself; {} if it is not there any more."""
    description = pathlib.Path(path) / "dataset.json"
    return _read_json(description) if description.exists() else {}


def _errors(
    found: Mapping[str, Mapping[str, float]], classes: int
) -> dict[str, dict[str, float]]:
    """The errors by method that say something of a net with so many classes."""
    shown = measures.shown(classes)
    return {
        method: {name: values[name] for name in shown if name in values}
        for method, values in found.items()
        if method in measures.METHODS
    }
