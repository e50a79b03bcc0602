# Copyright 2026 The alexnet_tf authors. Apache-2.0.
"""Times training of a net on one device, with the stock LRN and with ours.

    python tools/benchmarks/device_training.py --device=/GPU:0 --precision=tf32

prints images/s. tools/checks/gpu.sh runs it, and takes the lines that begin with
`result:` into its table. The batch is on the device before the clock starts, so
decoding is not timed.
"""

import argparse
import statistics
import time

import numpy as np
import synthetic

from alexnet_tf.models import devices, towers, zoo


def images_per_s(flags: argparse.Namespace, lrn: str) -> float:
    """Images/s of the median step; each step is awaited."""
    net = zoo.find(flags.net)
    run, step = synthetic.traced_step(
        net,
        [flags.device] * net.towers,
        flags.precision,
        flags.batch,
        lrn,
        on=flags.device,
    )
    kernel = {
        "op": "AlexnetTf>LocalResponseNormalization",
        "stock": "LRN",
    }[lrn]
    placed = towers.devices_of(step).get(kernel)
    wanted = {devices.canonical(flags.device)}
    if placed != wanted:
        raise RuntimeError(f"{kernel} must be on {wanted}, but is on {placed}")
    times = []
    for number in range(flags.steps + 3):
        start = time.perf_counter()
        loss = run()[0]
        if number >= 3:  # TensorFlow chooses algorithms in the first steps
            times.append(time.perf_counter() - start)
    if not np.isfinite(loss):
        raise RuntimeError(f"the loss became NaN or infinite: {loss}")
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
    devices.configure()
    devices.resolve([flags.device], 1)
    devices.allow_tf32(flags.precision == "tf32")
    for lrn in ("stock", "op"):
        # Printed at once, so that a part that runs out of time keeps its first result.
        rate = images_per_s(flags, lrn)
        print(
            f"result: {flags.net}, {flags.precision}, lrn={lrn}: {rate:.0f} images/s",
            flush=True,
        )


if __name__ == "__main__":
    main()
