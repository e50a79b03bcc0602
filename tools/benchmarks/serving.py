"""Times an export by batch size, in a session as a server runs it.

    python tools/benchmarks/serving.py runs/demo/export/1

sends JPEGs of 500 x 375 pixels to `serving_default`, and prints the median time and the
images per second at each batch size. The values in `tools/serving/batching.config`
follow from these results.
"""

import io
import pathlib
import sys

import numpy as np
import tensorflow as tf
import timing
from PIL import Image

SIZES = (1, 2, 4, 8, 16, 32, 64, 128)


def jpeg() -> bytes:
    """Coarse shapes under fine grain, about as hard to decode as a photograph."""
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
    data = jpeg()
    print(f"{len(data)} bytes per image, TensorFlow {tf.__version__}")
    print(f"{'batch':>5}{'ms':>9}{'images/s':>12}")
    for size in SIZES:
        batch = {fed.name: np.array([data] * size, object)}
        took_s = timing.seconds_of(lambda batch=batch: session.run(fetched, batch))
        print(f"{size:5}{1000 * took_s:9.1f}{size / took_s:12.1f}", flush=True)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        raise SystemExit("usage: python tools/benchmarks/serving.py EXPORT/VERSION")
    main(pathlib.Path(sys.argv[1]))
