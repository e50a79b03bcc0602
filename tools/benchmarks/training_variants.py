"""The variants that tools/benchmarks/training.py times in TensorFlow, and two ceilings.

    python tools/benchmarks/training_variants.py VARIANT,PRECISION,BATCH_SIZE

serves one variant to its parent (see step_worker.py). PyTorch's variants are in
training_torch.py.
"""

import sys
from collections.abc import Callable
from typing import NamedTuple

import keras
import layer_profile
import step_worker
import stock_net
import synthetic
import tensorflow as tf

from alexnet_tf.models import layers, zoo

MATRIX_SIDE = 4096
MATRIX_FLOP = 2 * MATRIX_SIDE**3
COPIED_BYTES = 1 << 29
_DEVICES = ["/CPU:0"] * 2


class Variant(NamedTuple):
    """What a worker runs: a call of `steps_per_call` steps, and what can profile it."""

    step: Callable[[], object]
    profile: Callable[[], dict] | None = None
    steps_per_call: int = 1


def ours(precision: str, batch_size: int) -> Variant:
    """The step as `train` makes it."""
    tf.config.experimental.enable_op_determinism()
    run, _ = synthetic.traced_step(zoo.PAPER, _DEVICES, precision, batch_size)
    return Variant(run, lambda: layer_profile.shares_of_layers(run))


def ours_inference(precision: str, batch_size: int) -> Variant:
    net = synthetic.model_of(zoo.PAPER, _DEVICES, precision)
    images = synthetic.images(batch_size)[0]["image"]
    forward = tf.function(lambda x: net(layers.plain_inputs(x), training=False))
    return Variant(lambda: forward(images).numpy())


def keras_fit(precision: str, batch_size: int) -> Variant:
    """Our layers with the stock LRN under `Model.fit`, four steps per call."""
    net = synthetic.model_of(zoo.PAPER, _DEVICES, precision, lrn="stock")
    loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    net.compile(keras.optimizers.SGD(1e-3, momentum=0.9), loss, jit_compile=False)
    batches = tf.data.Dataset.from_tensors(synthetic.images(batch_size)).repeat()
    return Variant(
        lambda: net.fit(batches, steps_per_epoch=4, verbose=0), steps_per_call=4
    )


def stock(precision: str, batch_size: int) -> Variant:
    return Variant(stock_net.training_step(precision, batch_size, with_lrn=True))


def stock_no_lrn(precision: str, batch_size: int) -> Variant:
    return Variant(stock_net.training_step(precision, batch_size, with_lrn=False))


def stock_inference(precision: str, batch_size: int) -> Variant:
    _, logits = stock_net.build(precision, with_lrn=True)
    images = synthetic.images(batch_size)[0]["image"]
    forward = tf.function(lambda x: logits(x, False))
    return Variant(lambda: forward(images).numpy())


def product(precision: str, batch_size: int) -> Variant:
    """A product of two square matrices, which takes MATRIX_FLOP operations."""
    del batch_size
    matrix = tf.cast(tf.random.normal([MATRIX_SIDE, MATRIX_SIDE]), precision)
    multiply = tf.function(lambda x: tf.matmul(x, x)[0, 0])
    return Variant(lambda: multiply(matrix).numpy())


def copy(precision: str, batch_size: int) -> Variant:
    """A pass over COPIED_BYTES, which are read once and written once."""
    del precision, batch_size
    values = tf.zeros([COPIED_BYTES // 4])
    move = tf.function(lambda x: tf.abs(x)[:1], autograph=False)
    return Variant(lambda: move(values).numpy())


VARIANTS: dict[str, Callable[[str, int], Variant]] = {
    "ours": ours,
    "stock": stock,
    "stock_no_lrn": stock_no_lrn,
    "keras_fit": keras_fit,
    "ours_inference": ours_inference,
    "stock_inference": stock_inference,
    "product": product,
    "copy": copy,
}


if __name__ == "__main__":
    name, precision, batch_size = sys.argv[1].split(",")
    step_worker.answer_questions(*VARIANTS[name](precision, int(batch_size)))
