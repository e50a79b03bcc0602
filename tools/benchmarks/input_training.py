"""Times training steps on one batch in memory and on batches read from records."""

import itertools
import statistics
import time
from collections.abc import Callable, Iterator

import input_loaders
import synthetic
import tensorflow as tf

from alexnet_tf.data import prepared_dataset
from alexnet_tf.models import builder, devices, layers, zoo
from alexnet_tf.training import schedule

_PREPROCESSING_CALLS = 5


def median_step_s(
    dataset: prepared_dataset.Dataset, *, rounds: int, steps: int
) -> tuple[dict[str, float], str]:
    """(name -> median seconds, the type that was computed in).

    "synthetic" is a step on the same batch over and over, "real" a step on the records,
    and "preprocessing" the model's first layer alone.
    """
    precision = devices.precision("auto")
    step, real = _full_net_step(dataset, precision)
    (batch,) = real.take(1)
    preprocess = _preprocessing(dataset, precision, batch)
    sources = {"synthetic": itertools.repeat(batch), "real": iter(real)}
    times: dict[str, list[float]] = {"synthetic": [], "real": [], "preprocessing": []}
    for source in sources.values():
        step(*next(source))
    for turn in range(rounds):
        # The order alternates, because the second one finds batches ready.
        for name in sorted(sources, reverse=bool(turn % 2)):
            times[name].append(_mean_step_s(step, sources[name], steps))
        start = time.perf_counter()
        for _ in range(_PREPROCESSING_CALLS):
            preprocess()
        taken = (time.perf_counter() - start) / _PREPROCESSING_CALLS
        times["preprocessing"].append(taken)
    return {name: statistics.median(taken) for name, taken in times.items()}, precision


def _full_net_step(
    dataset: prepared_dataset.Dataset, precision: str
) -> tuple[Callable, tf.data.Dataset]:
    """The step of the 2012 program's net, which awaits its result, and its batches."""
    net = zoo.find("cuda_convnet")
    model = builder.build(
        net,
        mean=dataset.statistics().mean_crop(input_loaders.CROP),
        devices=devices.resolve(("auto",), net.towers),
        precision=precision,
        initialization="cuda_convnet",
    )
    real = input_loaders.batches(dataset, one_thread=False)
    step = synthetic.step_of(net, model, real)
    learning_rates = schedule.LearningRates(*[tf.constant(1e-4)] * 3)
    return lambda inputs, labels: step(inputs, labels, learning_rates).numpy(), real


def _preprocessing(dataset, precision: str, batch) -> Callable[[], object]:
    layer = layers.Preprocessing(
        dataset.statistics().mean_crop(input_loaders.CROP),
        dtype="bfloat16" if precision == "bfloat16" else "float32",
    )
    return lambda: layer(**batch[0]).numpy()


def _mean_step_s(step: Callable, source: Iterator, steps: int) -> float:
    start = time.perf_counter()
    for _ in range(steps):
        step(*next(source))
    return (time.perf_counter() - start) / steps
