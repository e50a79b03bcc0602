# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times training and inference of a net on one device.

    python tools/benchmarks/device_training.py --device=/GPU:0 --data=data/garments-256

prints images/s and the device's peak memory for every precision and batch size, with our
LRN or the stock one (`--lrn`). Synthetic images are on the device before the clock starts, so
decoding is not timed; with --data, batches of that prepared dataset are timed too.
Operations are deterministic, as in `train`, unless --nondeterministic is given.
"""

import functools
import gc
import math
import resource
from collections.abc import Callable

import numpy as np
import synthetic
import tensorflow as tf
import throughput

from alexnet_tf.data import input_pipeline, prepared_dataset
from alexnet_tf.models import devices, layers, towers, zoo
from alexnet_tf.training import schedule

KERNELS = {"op": "AlexnetTf>LocalResponseNormalization", "stock": "LRN"}


class Training:
    """A net with one LRN, in one precision, whose step is traced per batch size."""

    def __init__(self, net: str, device: str, precision: str, lrn: str):
        devices.allow_tf32(precision == "tf32")
        self._net = zoo.find(net)
        self._device, self._lrn = device, lrn
        self._model = synthetic.model_of(
            self._net, [device] * self._net.towers, precision, lrn
        )

    def step(self, batch: int) -> Callable:
        """A step on a batch, which returns its result and does not wait for it."""
        images = self._images(batch)
        step = synthetic.step_of(
            self._net, self._model, tf.data.Dataset.from_tensors(images)
        )
        placed = towers.devices_of(step).get(KERNELS[self._lrn])
        wanted = {devices.canonical(self._device)}
        if placed != wanted:
            raise RuntimeError(f"the LRN must be on {wanted}, but is on {placed}")
        learning_rates = schedule.LearningRates(1e-3, 1e-3, 1.0).tensors()
        return lambda inputs, labels: step(inputs, labels, learning_rates)

    def synthetic(self, batch: int, steps: int) -> str:
        """Training on one batch that is on the device."""
        step = self.step(batch)
        return self._rate(functools.partial(step, *self._images(batch)), batch, steps)

    def real(self, dataset: prepared_dataset.Dataset, batch: int, steps: int) -> str:
        """Training on batches that are read, cropped and sent to the device."""
        step = self.step(batch)
        recipe = input_pipeline.Recipe(
            batch, self._net.input_size, 0, "cuda_convnet", math.inf, 1
        )
        batches = iter(
            input_pipeline.training_batches(
                dataset, recipe, first_step=0, last_step=10**9
            )
        )
        return self._rate(lambda: step(*next(batches)), batch, steps)

    def inference(self, batch: int, steps: int) -> str:
        """Logits of one batch that is on the device."""
        images = self._images(batch)[0]["image"]
        forward = tf.function(
            lambda x: self._model(layers.plain_inputs(x), training=False)
        ).get_concrete_function(images)
        seconds = throughput.step_s(lambda: forward(images), np.asarray, steps)
        return f"{1e3 * seconds:.3f} ms, {batch / seconds:.0f} images/s"

    def _images(self, batch: int):
        with tf.device(self._device):
            return synthetic.images(batch, self._net.input_size, self._net.classes)

    def _rate(self, step: Callable, batch: int, steps: int) -> str:
        reset_peak(self._device)
        losses = []
        seconds = throughput.step_s(
            step, lambda result: losses.append(float(result[0])), steps
        )
        if not np.all(np.isfinite(losses)):
            raise RuntimeError(f"the loss became NaN or infinite: {losses}")
        peak = peak_gib(self._device)
        return f"{batch / seconds:.0f} images/s, peak {peak:.1f} GiB"


def reset_peak(device: str) -> None:
    if "GPU" in device:
        tf.config.experimental.reset_memory_stats(devices.canonical(device))


def peak_gib(device: str) -> float:
    """The peak memory of a GPU since it was reset; on a CPU, that of the process."""
    if "GPU" in device:
        found = tf.config.experimental.get_memory_info(devices.canonical(device))
        return found["peak"] / 2**30
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20


def arguments():
    parser = throughput.parser(__doc__.splitlines()[0])
    parser.add_argument("--net", default="paper")
    parser.add_argument("--lrn", default="op", choices=list(KERNELS))
    parser.add_argument("--data", help="a prepared dataset")
    parser.add_argument(
        "--inference_batches", default="1,256", type=throughput.integers
    )
    parser.add_argument("--nondeterministic", action="store_true")
    return parser.parse_args()


def add_rows(rows: throughput.Rows, precision: str, flags) -> None:
    """Times all batch sizes; in the first precision also real images and inference."""
    gc.collect()  # the net of the precision before this one
    training = functools.cache(
        functools.partial(Training, flags.net, flags.device, precision, flags.lrn)
    )
    name = f"{precision}, lrn={flags.lrn}"
    steps = flags.steps
    for batch in flags.batches:
        rows.row(
            f"{name}, batch {batch}",
            lambda batch=batch: training().synthetic(batch, steps),
        )
    if precision != flags.precisions[0]:
        return
    if flags.data:
        dataset = prepared_dataset.read_description(flags.data)
        for batch in dict.fromkeys((flags.batches[0], flags.batches[-1])):
            rows.row(
                f"{name}, batch {batch}, real images",
                lambda batch=batch: training().real(dataset, batch, steps),
            )
    for batch in flags.inference_batches:
        rows.row(
            f"{name}, inference, batch {batch}",
            lambda batch=batch: training().inference(batch, steps),
        )


def main() -> None:
    flags = arguments()
    devices.configure()
    devices.resolve([flags.device], 1)
    if not flags.nondeterministic:
        tf.config.experimental.enable_op_determinism()
    rows = throughput.Rows(flags.seconds)
    for precision in flags.precisions:
        add_rows(rows, precision, flags)
    rows.finish()


if __name__ == "__main__":
    main()
