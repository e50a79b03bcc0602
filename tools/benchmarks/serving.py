"""Pictures a second and time by batch, of an export in a session, as a server runs it.

    python tools/benchmarks/serving.py runs/demo/export/1

JPEGs of 500 x 375 pixels to `serving_default`; the median of several runs at each size.
What `tools/serving/batching.config` is set by.
"""

import io
import pathlib
import sys
import time

import numpy as np
import tensorflow as tf
from PIL import Image

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)
SECONDS = 4  # at each size
LEAST_RUNS = 3


def picture() -> bytes:
    """About as hard to decode as a photograph: coarse shapes under fine grain."""
    rng = np.random.default_rng(0)
    coarse = Image.fromarray(rng.integers(0, 256, (12, 16, 3)).astype(np.uint8))
    pixels = np.asarray(coarse.resize((500, 375), Image.Resampling.BICUBIC))
    grain = rng.normal(0, 8, pixels.shape)
    data = io.BytesIO()
    Image.fromarray((pixels + grain).clip(0, 255).astype(np.uint8)).save(data, "JPEG")
    return data.getvalue()


def main(export: pathlib.Path) -> None:
    session = tf.compat.v1.Session(graph=tf.Graph())
    graph = tf.compat.v1.saved_model.loader.load(session, ["serve"], str(export))
    signature = graph.signature_def["serving_default"]
    (fed,) = signature.inputs.values()
    fetched = {key: value.name for key, value in signature.outputs.items()}
    data = picture()
    print(f"{len(data)} bytes a picture, TensorFlow {tf.__version__}")
    print(f"{'batch':>5}{'ms':>9}{'pictures/s':>12}")
    for size in SIZES:
        batch = {fed.name: np.array([data] * size, object)}
        session.run(fetched, batch)
        times: list[float] = []
        while len(times) < LEAST_RUNS or sum(times) < SECONDS:
            begun = time.perf_counter()
            session.run(fetched, batch)
            times.append(time.perf_counter() - begun)
        took_s = float(np.median(times))
        print(f"{size:5}{1000 * took_s:9.1f}{size / took_s:12.1f}", flush=True)


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))
