# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Training images/s of a net on one device, with the stock LRN and with ours.

    python tools/gpu_check.py --device=/GPU:0 --precision=tf32

A part of tools/gpu_check.sh, whose table takes the lines that begin with `result:`.
The batch stands on the device before the clock starts: decoding is not timed.
"""

import argparse
import statistics
import time

import numpy as np
import tensorflow as tf

from alexnet_tf import architecture, model, optimizer, schedule, towers, train


def images_per_s(flags: argparse.Namespace, lrn: str) -> float:
    """The median over single steps, each awaited."""
    net = architecture.find(flags.net)
    built = model.build(
        net,
        mean=np.full(3, 127.0),
        devices=[flags.device] * net.towers,
        precision="bfloat16" if flags.precision == "bfloat16" else "float32",
        lrn=lrn,
    )
    variables = built.trainable_variables
    rule = optimizer.MomentumSGD(variables, optimizer.decays_of(net, variables, None))
    random = np.random.default_rng(0)
    side = net.input_size
    with tf.device(flags.device):
        inputs = {
            "image": tf.constant(
                random.integers(0, 256, (flags.batch, side, side, 3)), tf.uint8
            ),
            "mirror": tf.constant(random.integers(0, 2, flags.batch), tf.bool),
            "shift": tf.zeros([flags.batch, 3]),
            "gain": tf.ones([flags.batch]),
        }
        labels = tf.constant(random.integers(0, 10, flags.batch), tf.int32)
    step = train.Step(built, rule).trace(tf.data.Dataset.from_tensors((inputs, labels)))
    kernel = {
        "op": "AlexnetTf>LocalResponseNormalization",
        "stock": "LRN",
    }[lrn]
    where = towers.devices_of(step)
    wanted = {towers.canonical(flags.device)}
    if kernel in where and where[kernel] != wanted:
        raise RuntimeError(f"{kernel} must be on {wanted}, got {where[kernel]}")
    rates = schedule.Rates(*(tf.constant(r) for r in (0.01, 0.02, 1.0)))
    times = []
    for number in range(flags.steps + 3):
        start = time.perf_counter()
        loss = step(inputs, labels, rates).numpy()[0]
        if number >= 3:  # the first ones choose algorithms
            times.append(time.perf_counter() - start)
    if not np.isfinite(loss):
        raise RuntimeError(f"the loss must be finite, got {loss}")
    return flags.batch / statistics.median(times)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--device", default="/GPU:0")
    parser.add_argument(
        "--precision", default="float32", choices=("float32", "tf32", "bfloat16")
    )
    parser.add_argument("--net", default="paper")
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--steps", type=int, default=20)
    flags = parser.parse_args()
    towers.configure()
    towers.resolve([flags.device], 1)
    tf.config.experimental.enable_tensor_float_32_execution(flags.precision == "tf32")
    for lrn in ("stock", "op"):
        # Printed at once: a part cut off by the clock keeps what it has.
        rate = images_per_s(flags, lrn)
        print(
            f"result: {flags.net}, {flags.precision}, lrn={lrn}: {rate:.0f} images/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
