"""A running server, an image, and what the trained net itself answers for it."""

import io
import shutil

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image

from alexnet_tf.data import image_decoding
from alexnet_tf.models import trained
from alexnet_tf.serving import signatures
from tests.support import servers


@pytest.fixture(scope="session", params=[servers.NAME])
def server(exported, tmp_path_factory):
    """A server of version 1, labeled stable, and version 2, labeled canary.

    The classes of version 1 are "Class...", those of version 2 are "class...".
    """
    folder = tmp_path_factory.mktemp("server")
    servers.copy_with_capital_classes(exported, folder / "alexnet" / "1")
    shutil.copytree(exported, folder / "alexnet" / "2")
    servers.write_config(folder, stable=1, canary=2)
    running = servers.Server(
        folder,
        f"--model_config_file={folder / 'models.config'}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
    )
    running.wait_for("/versions/2")
    yield running
    running.stop()


@pytest.fixture(params=["grpc", "rest"])
def address(server, request):
    """The server's address, once for gRPC and once for REST."""
    return getattr(server, request.param)


@pytest.fixture(scope="session")
def png():
    """An encoded image of 40 x 36 pixels, and its pixels."""
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 200, (40, 36, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), pixels


@pytest.fixture(scope="session")
def keras_answers(trained_run, png):
    """What the run's own net answers for `png`, by the output's name."""
    restored = trained.restore(trained_run, inputs="finished")
    served = signatures.Signatures(
        restored.model,
        restored.architecture,
        mean=restored.trained.mean,
        classes=restored.trained.class_names,
        top=5,
        crops=1,
    )
    encoded = tf.constant([png[0]])
    answer = {k: v.numpy() for k, v in served.classify_encoded(encoded).items()}
    return answer | {"features": served.extract_features(encoded)["features"].numpy()}


@pytest.fixture(scope="session")
def encoded_images():
    """Encoded images of every kind, and their pixels as preparation reads them."""
    rng = np.random.default_rng(1)
    pixels = rng.integers(0, 256, (50, 40, 3)).astype(np.uint8)
    found = []
    for mode, kind in (
        ("RGB", "PNG"), ("L", "PNG"), ("P", "GIF"), ("RGB", "BMP"),
        ("RGB", "JPEG"), ("L", "JPEG"), ("CMYK", "JPEG"),
    ):  # fmt: skip
        buffer = io.BytesIO()
        Image.fromarray(pixels).convert(mode).save(buffer, kind)
        found.append(buffer.getvalue())
    return [(data, image_decoding.decode(data, "image")) for data in found]
