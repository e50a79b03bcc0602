"""Several nets as one: their softmax outputs are averaged (paper, section 5, Table 2).

Each net sees the images in its own way: with its own crop size and its own mean image.
The nets are computed one after the other, and the probabilities of each, float32
[images, classes], stay in memory.

    nets = find_nets(["runs/a", "runs/b"])
    dataset = dataset_of(nets)
    measured = [measure(net, dataset, "validation") for net in nets]
    mean = average([each.probabilities["ten_crop"] for each in measured])
    errors(mean, measured[0].labels)
"""

import dataclasses
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from alexnet_tf.data import prepared_dataset, record_files, records
from alexnet_tf.evaluation import evaluator, measures, metrics, prediction_files
from alexnet_tf.models import checkpoint_files, checkpoint_weights, devices, trained

# The order in which `evaluator.Evaluation` passes on probabilities.
METHODS = tuple(measures.METHODS)

# The search of the 2012 program (`avg-valid.py`, find_coeffs): every coefficient starts
# at 0.5, takes the values 0, 0.05 ... 1 in turn, and at most five passes are made.
_START = 0.5
_CANDIDATES = np.arange(21) / 20
_PASSES = 5

_ROWS = 4096  # that are averaged or counted at once


class Net(NamedTuple):
    """A net of an ensemble, without its weights.

    Attributes:
        run_dir, checkpoint: the run folder, and the prefix of the checkpoint.
        trained: the description of the net.
    """

    run_dir: pathlib.Path
    checkpoint: str
    trained: trained.TrainedNet


class Measured(NamedTuple):
    """What one net answers on a split.

    Attributes:
        results: the errors, as `evaluator.Evaluation` returns them.
        probabilities: float32 [images, classes], by method.
        labels: int32 [images].
    """

    results: dict[str, Any]
    probabilities: dict[str, np.ndarray]
    labels: np.ndarray


def find_nets(checkpoints: Sequence[str | os.PathLike[str]]) -> list[Net]:
    """Returns the nets of checkpoints, which `trained.restore` explains.

    Raises:
        CheckpointError: there is no such checkpoint, or it is of another run.
        ValueError: a checkpoint is named twice, or the classes of two nets differ.
    """
    nets: list[Net] = []
    for which in checkpoints:
        run_dir, checkpoint = checkpoint_files.locate_checkpoint(which)
        net = Net(run_dir, checkpoint, trained.read_trained_net(run_dir))
        with checkpoint_weights.readable(checkpoint):
            trained.check_identity(checkpoint, net.trained)
        if any(
            os.path.samefile(f"{checkpoint}.index", f"{n.checkpoint}.index")
            for n in nets
        ):
            raise ValueError(
                f"--checkpoint names {checkpoint} twice: name each net once"
            )
        nets.append(net)
        first, own = nets[0].trained.class_names, net.trained.class_names
        if not evaluator.same_classes(own, first):
            raise ValueError(
                f"{checkpoint} has other classes than {nets[0].checkpoint}: "
                f"{evaluator.first_difference(own, first)}. Only nets with the same "
                "classes in the same order can be averaged"
            )
    return nets


def dataset_of(
    nets: Sequence[Net], path: str | os.PathLike[str] | None = None
) -> prepared_dataset.Dataset:
    """Returns the dataset to evaluate nets on: that at `path`, or the nets' own.

    Raises:
        ValueError: a net cannot be evaluated on it (see `evaluator.dataset_of`), or
            the nets were trained on different datasets and `path` is not given.
    """
    called = [net.checkpoint if len(nets) > 1 else "the net" for net in nets]
    if path is None:
        own = [net for net in nets if net.trained.dataset_path is not None] or [nets[0]]
        for net in own[1:]:
            if net.trained.dataset_digest != own[0].trained.dataset_digest:
                raise ValueError(
                    f"{own[0].checkpoint} was trained on {own[0].trained.dataset_path}, "
                    f"and {net.checkpoint} on other images, of "
                    f"{net.trained.dataset_path}: name the images to evaluate them on by "
                    "--dataset=FOLDER"
                )
        dataset = evaluator.dataset_of(
            own[0].trained, called=called[nets.index(own[0])]
        )
        path = dataset.path
        rest = [
            pair for pair in zip(nets, called, strict=True) if pair[0] is not own[0]
        ]
    else:
        rest = list(zip(nets, called, strict=True))
    for net, name in rest:
        dataset = evaluator.dataset_of(net.trained, path, called=name)
    return dataset


def measure(
    net: Net,
    dataset: prepared_dataset.Dataset,
    split: str,
    *,
    precision: devices.Precision = "float32",
    tower_devices: Sequence[str] | None = None,
    batch_size: int = 128,
    damaged: records.Damaged = "stop",
    keep: bool = True,
) -> Measured:
    """Restores a net and returns what it answers on a split.

    Args:
        net, dataset, split: what to measure, and on which images.
        precision, tower_devices: as in `trained.restore`.
        batch_size, damaged: as in `evaluator.Evaluation`.
        keep: whether the probabilities are kept; otherwise there are none.
    """
    restored = trained.restore(
        net.checkpoint, precision=precision, tower_devices=tower_devices
    )
    kept: dict[str, list[np.ndarray]] = {method: [] for method in METHODS}
    labels: list[np.ndarray] = []

    def keep_batch(probabilities: np.ndarray, of: np.ndarray) -> None:
        for method, batch in zip(METHODS, probabilities, strict=True):
            kept[method].append(batch)
        labels.append(of)

    results = evaluator.Evaluation(restored.model)(
        dataset,
        split,
        crop=net.trained.architecture.input_size,
        batch_size=batch_size,
        damaged=damaged,
        keep=keep_batch if keep else None,
    )
    if not keep:
        return Measured(results, {}, np.empty(0, np.int32))
    # The batches of a method are freed as soon as they are joined.
    joined = {method: np.concatenate(kept.pop(method)) for method in METHODS}
    return Measured(results, joined, np.concatenate(labels))


@dataclasses.dataclass(frozen=True)
class Evaluated:
    """Several nets, or one, and what they answer on a split.

    Attributes:
        nets, dataset, split: what was evaluated.
        measured: of each net.
        coefficients: of each net in the average; their sum is 1.
        averages: float32 [images, classes], by method; empty for a single net whose
            probabilities are not kept.
        search_split: the split that the coefficients were found on; None if all are the
            same.
    """

    nets: Sequence[Net]
    dataset: prepared_dataset.Dataset
    split: str
    measured: Sequence[Measured]
    coefficients: Sequence[float]
    averages: Mapping[str, np.ndarray]
    search_split: str | None


def evaluate(
    nets: Sequence[Net],
    dataset: prepared_dataset.Dataset,
    split: str,
    *,
    search_split: str | None = None,
    keep: bool = False,
    **how: Any,
) -> Evaluated:
    """Measures nets on a split, one after the other, and averages their answers.

    Args:
        nets, dataset, split: what to measure; see `find_nets` and `dataset_of`.
        search_split: the split to search coefficients on; None gives all the same.
        keep: whether to keep the probabilities of a single net too.
        how: other arguments of `measure`.

    Raises:
        ValueError: the dataset has no such split, or a net answers NaN.
    """
    for each in (split, search_split):
        if each is not None:
            dataset.shards(each)  # raises an error if there is no such split

    def measured_on(which: str) -> list[Measured]:
        kept = keep or len(nets) > 1
        found = [measure(net, dataset, which, keep=kept, **how) for net in nets]
        if len(nets) > 1:
            _check_comparable(nets, found)
        return found

    coefficients, measured = [1 / len(nets)] * len(nets), None
    if search_split is not None:
        searched = measured_on(search_split)
        coefficients = search_coefficients(
            [each.probabilities["ten_crop"] for each in searched], searched[0].labels
        )
        measured = searched if search_split == split else None
        del searched  # so that the answers on one split only are in memory
    if measured is None:
        measured = measured_on(split)
    averages = {
        method: average([each.probabilities[method] for each in measured], coefficients)
        for method in measured[0].probabilities
    }
    return Evaluated(
        nets, dataset, split, measured, coefficients, averages, search_split
    )


def results_of(evaluated: Evaluated, *, precision: str) -> dict[str, Any]:
    """Returns what `evaluate` prints as JSON; docs/evaluation.md explains the keys.

    For a single net, these are its checkpoint and its errors. For several, `nets` has
    those of each, `mean` the means of their errors, and `average` the errors of the
    averaged probabilities.
    """
    what = {
        "dataset": str(evaluated.dataset.path),
        "split": evaluated.split,
        "precision": precision,
    }
    described = [
        {"checkpoint": net.checkpoint, "step": checkpoint_files.step_of(net.checkpoint)}
        for net in evaluated.nets
    ]
    measured = evaluated.measured
    if len(measured) == 1:
        return {**described[0], **what, **measured[0].results}
    each_net = [
        {
            **which,
            "architecture": net.trained.architecture.name,
            "coefficient": coefficient,
            **{method: each.results[method] for method in METHODS},
        }
        for which, net, coefficient, each in zip(
            described, evaluated.nets, evaluated.coefficients, measured, strict=True
        )
    ]
    means = {
        method: {
            name: float(np.mean([each.results[method][name] for each in measured]))
            for name in measured[0].results[method]
        }
        for method in METHODS
    }
    searched = evaluated.search_split
    return {
        **what,
        "nets": each_net,
        "mean": means,
        "average": {
            method: errors(mean, measured[0].labels)
            for method, mean in evaluated.averages.items()
        },
        "weights_search": searched and {"split": searched, "method": "ten_crop"},
        "images": measured[0].results["images"],
    }


def predictions_of(
    evaluated: Evaluated, results: Mapping[str, Any]
) -> prediction_files.Predictions:
    """Returns the probabilities of all nets and of the average, for a file."""
    measured = evaluated.measured
    labels = measured[0].labels
    complete = len(labels) == evaluated.dataset.counts[evaluated.split]
    return prediction_files.Predictions(
        {
            method: [each.probabilities[method] for each in measured]
            for method in METHODS
        },
        evaluated.averages,
        image_names(evaluated.dataset, evaluated.split, complete=complete),
        labels,
        evaluated.dataset.classes,
        [net.checkpoint for net in evaluated.nets],
        evaluated.coefficients,
        results,
    )


def image_names(
    dataset: prepared_dataset.Dataset, split: str, *, complete: bool = True
) -> list[str]:
    """Returns the names of the images of a split, in the order of the records.

    Unless `complete`, the damaged records are left out, as in an evaluation that skips
    them; each record is read to find them.
    """
    source = records.open_records(dataset, split, "stop" if complete else "skip")

    def is_whole(index: int) -> bool:
        try:
            return source[index] is not None
        except record_files.DamagedRecordError:
            return False

    indices = range(len(source))
    return [source.name(index) for index in indices if complete or is_whole(index)]


def _check_comparable(nets: Sequence[Net], measured: Sequence[Measured]) -> None:
    """Raises ValueError if the answers of nets on a split cannot be averaged."""
    for net, each in zip(nets, measured, strict=True):
        if any(not np.isfinite(p).all() for p in each.probabilities.values()):
            raise ValueError(
                f"{net.checkpoint} answers NaN for some images, and so would the "
                "average: leave this net out of --checkpoint"
            )
        if not np.array_equal(each.labels, measured[0].labels):
            raise ValueError(
                f"{net.checkpoint} was computed for other images than "
                f"{nets[0].checkpoint}: the dataset changed meanwhile, or its disk fails"
            )


def average(
    probabilities: Sequence[np.ndarray], coefficients: Sequence[float] | None = None
) -> np.ndarray:
    """Returns the average of the probabilities of several nets, float32.

    The order of the nets does not matter, not even for the last bit: the terms of each
    sum are sorted.

    Args:
        probabilities: of each net, [images, classes].
        coefficients: of each net, at least 0; by default, all are the same.

    Example:
        >>> average([np.array([[1.0, 0.0]]), np.array([[0.5, 0.5]])]).tolist()
        [[0.75, 0.25]]
        >>> average([np.array([[1.0, 0.0]]), np.array([[0.0, 1.0]])], [3, 1]).tolist()
        [[0.75, 0.25]]
    """
    chosen = np.ones(len(probabilities)) if coefficients is None else coefficients
    weights = np.asarray(chosen, np.float64)
    total = np.sort(weights).sum()
    mean = np.empty(probabilities[0].shape, np.float32)
    for start in range(0, len(mean), _ROWS):
        rows = slice(start, start + _ROWS)
        terms = [w * p[rows] for w, p in zip(weights, probabilities, strict=True)]
        mean[rows] = np.sort(terms, axis=0).sum(axis=0) / total
    return mean


def errors(probabilities: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """Returns the errors of answers, as `evaluator.Evaluation` counts them.

    Args:
        probabilities: float [images, classes].
        labels: int [images].

    Returns: `top1_error` and `top5_error` in percent, and `loss` in nats.

    Example:
        >>> found = errors(np.array([[0.5, 0.5], [0.75, 0.25]]), np.array([1, 0]))
        >>> found["top1_error"]
        25.0
    """
    top1, top5 = (_credit(probabilities, labels, k) for k in (1, 5))
    own = np.take_along_axis(probabilities, labels[:, None].astype(np.int64), axis=1)
    losses = -np.log(np.maximum(own.astype(np.float64), 1e-30))
    return {
        "top1_error": 100 * (1 - top1 / len(labels)),
        "top5_error": 100 * (1 - top5 / len(labels)),
        "loss": float(losses.mean()),
    }


def _credit(scores: np.ndarray, labels: np.ndarray, k: int) -> float:
    """The sum of `metrics.credit` over all images."""
    total = 0.0
    for start in range(0, len(labels), _ROWS):
        rows = slice(start, start + _ROWS)
        credit = metrics.credit(scores[rows], labels[rows], k).numpy()
        total += float(credit.sum(dtype=np.float64))
    return total


def search_coefficients(
    probabilities: Sequence[np.ndarray], labels: np.ndarray
) -> list[float]:
    """Returns the coefficients of nets that give the least error, as in 2012.

    The 2012 program's `avg-valid.py` changes one coefficient at a time and keeps a
    change if the top-5 error gets smaller. Here the top-1 error decides between equal
    top-5 errors, so that nets of five classes and fewer can be searched too. The result
    may depend on the order of the nets, and it is fitted to these images: its error on
    them is too low.

    Args:
        probabilities: of each net, [images, classes].
        labels: int [images].

    Returns: one coefficient per net, at least 0; their sum is 1.

    Example:
        >>> right, wrong = np.array([[0.5, 0.25]]), np.array([[0.25, 0.75]])
        >>> search_coefficients([right, wrong], np.array([0]))
        [1.0, 0.0]
    """
    found = np.full(len(probabilities), _START)
    best = _cost(np.float32(_START) * sum(probabilities), labels)
    changed = None
    for number in range(_PASSES):
        for place, own in enumerate(probabilities):
            if changed == place or (number and changed is None):
                return _normalized(found)  # since then, nothing has changed
            others = sum(
                (
                    np.float32(found[n]) * p
                    for n, p in enumerate(probabilities)
                    if n != place
                ),
                np.zeros_like(own),
            )
            for candidate in _CANDIDATES:
                if not candidate and not np.delete(found, place).any():
                    continue  # all coefficients would be 0
                cost = _cost(others + np.float32(candidate) * own, labels)
                if cost < best:
                    best, changed, found[place] = cost, place, candidate
    return _normalized(found)


def _cost(scores: Any, labels: np.ndarray) -> tuple[float, float]:
    """(top-5 error, top-1 error) as numbers of images."""
    count = len(labels)
    return count - _credit(scores, labels, 5), count - _credit(scores, labels, 1)


def _normalized(coefficients: np.ndarray) -> list[float]:
    """Coefficients whose sum is 1, without the noise of the last bits."""
    return [round(float(c), 6) for c in coefficients / coefficients.sum()]
