"""The client and a server: every signature over gRPC and REST, and what goes wrong.

The id of each test names the server it asks, `model_server` or `session_loader`; see
`tests/support/servers.py`.
"""

import base64
import contextlib
import io
import shutil
import struct
import threading
import time
import zlib

import numpy as np
import pytest
import requests
from PIL import Image

from alexnet_tf.serving import client as clients
from tests.support import servers


def test_every_signature_agrees_with_keras(address, png, keras_answers):
    data, pixels = png
    with servers.client(address) as client:
        for signature, inputs in (
            ("serving_default", {"image_bytes": [data]}),
            ("predict_images", {"image": pixels[None]}),
            ("predict_float_images", {"image": pixels[None].astype(np.float32)}),
            ("features", {"image_bytes": [data]}),
        ):
            found = client.predict(signature, inputs)
            for key in set(found) - {"classes"}:
                wanted = keras_answers[key]
                scale = max(1, np.abs(wanted).max())
                np.testing.assert_allclose(
                    found[key] / scale, wanted / scale, atol=1e-5
                )
        (found,) = client.classify_examples([data])
        assert found.classes == [c.decode() for c in keras_answers["classes"][0]]
        np.testing.assert_allclose(found.scores, keras_answers["scores"][0], atol=1e-5)
        assert client.classify(data).classes == found.classes
        features = client.features(data)
        assert features.shape == keras_answers["features"][0].shape


@pytest.mark.parametrize(
    ("version", "letter"),
    [(None, "c"), ("1", "C"), ("2", "c"), ("stable", "C"), ("canary", "c")],
)
def test_a_version_or_a_label_selects_the_version_that_answers(
    address, png, version, letter
):
    with servers.client(address, version=version) as client:
        assert {name[0] for name in client.classify(png[0]).classes} == {letter}


def test_a_label_moves_to_a_new_version_and_back_without_a_restart(server, png):
    def until_stable_is(letter):
        server.wait_until(lambda: client.classify(png[0]).classes[0].startswith(letter))

    with servers.client(server.grpc, version="stable", attempts=1) as client:
        servers.write_config(server.log.parent, stable=2, canary=2)
        until_stable_is("c")
        servers.write_config(server.log.parent, stable=1, canary=2)
        until_stable_is("C")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"model": "other"}, "other"),
        ({"version": "9"}, "9"),
        ({"version": "beta"}, "beta"),
    ],
)
def test_the_error_names_a_model_or_version_that_is_not_served(
    address, png, options, message
):
    with (
        servers.client(address, attempts=1, **options) as client,
        pytest.raises(clients.ServerError, match=message),
    ):
        client.classify(png[0])


def bomb():
    """The header of a PNG of 400 million pixels."""
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + check


def truncated():
    """A JPEG whose last 300 bytes are missing."""
    buffer = io.BytesIO()
    Image.new("RGB", (300, 300), (9, 99, 199)).save(buffer, "JPEG")
    return buffer.getvalue()[:-300]


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"not an image", "not a JPEG, PNG, GIF or BMP"),
        (b"", "not a JPEG, PNG, GIF or BMP"),
        (truncated(), "JPEG"),
        (bomb(), "20000 rows of 20000 pixels"),
        (bytes(100_000_000), "more than 67108864 bytes"),
        (base64.urlsafe_b64encode(truncated()), "not a JPEG, PNG, GIF or BMP"),
    ],
    ids=["not_an_image", "empty", "truncated", "bomb", "100_MB", "base64_text"],
)
def test_a_bad_image_is_rejected_and_the_server_keeps_answering(
    address, png, data, message
):
    """The client would not send it; strangers do."""
    with servers.client(address) as client:
        with pytest.raises(clients.RejectedError, match=message):
            client._transport.predict("serving_default", {"image_bytes": [data]})
        assert client.classify(png[0]).scores


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("serving_default", {"picture": [b"x"]}),
        ("no_such_signature", {"image_bytes": [b"x"]}),
        ("predict_images", {"image": np.zeros((1, 4, 4, 3)) + 0.5}),
        ("predict_images", {"image": np.zeros((4, 4, 3), np.uint8)}),
        ("serving_default", {"image_bytes": np.ones(2, np.float32)}),
    ],
    ids=["wrong_key", "wrong_signature", "wrong_type", "wrong_rank", "not_bytes"],
)
def test_a_request_that_does_not_match_a_signature_is_an_error(
    address, png, signature, inputs
):
    with servers.client(address) as client:
        with pytest.raises(clients.ServerError):
            client._transport.predict(signature, inputs)
        assert client.classify(png[0]).scores


def test_the_rest_api_wraps_what_the_client_refuses(server):
    """This is why the client looks at the values before it sends them."""
    out_of_range = {"image": [[[[300, -1, 0]]]]}
    wrapped = {"image": np.array([[[[300 % 256, 255, 0]]]], np.uint8)}
    with servers.client(server.rest) as client:
        found = client._transport.predict("predict_images", out_of_range)
        answer = client.predict("predict_images", wrapped)
        np.testing.assert_allclose(found["scores"], answer["scores"], atol=1e-6)
        with pytest.raises(clients.RejectedError, match="from 0 to 255, got 300"):
            client.predict("predict_images", out_of_range)


@pytest.fixture(scope="module", params=[servers.NAME])
def batching(exported, tmp_path_factory):
    """A server that merges up to eight images, if they come within 50 ms."""
    folder = tmp_path_factory.mktemp("batching")
    shutil.copytree(exported, folder / "alexnet" / "1")
    limits = {
        "max_batch_size": 8,
        "batch_timeout_micros": 50_000,
        "max_enqueued_batches": 100,
        "num_batch_threads": 1,
    }
    (folder / "batching.config").write_text(
        "\n".join(f"{name} {{ value: {value} }}" for name, value in limits.items())
    )
    running = servers.Server(
        folder,
        "--model_name=alexnet",
        f"--model_base_path={folder / 'alexnet'}",
        "--enable_batching",
        f"--batching_parameters_file={folder / 'batching.config'}",
    )
    yield running
    running.stop()


def test_a_server_that_batches_rejects_no_good_image(batching, png):
    """Neither for the caller's own bad images nor for those of someone else."""
    images = [truncated() if n % 8 == 3 else png[0] for n in range(48)]
    options = {"in_flight": 8}

    def send_bad_images():
        with servers.client(batching.rest) as stranger:
            for _ in range(20):
                with contextlib.suppress(clients.ServerError):
                    stranger._transport.predict(
                        "serving_default", {"image_bytes": [truncated()]}
                    )

    stranger = threading.Thread(target=send_bad_images)
    stranger.start()
    for address in (batching.grpc, batching.rest):
        with servers.client(address, **options) as client:
            found = list(client.map(client.classify, images))
            wanted = client.classify(png[0]).classes
        for image, answer in found:
            if image == png[0]:
                assert not isinstance(answer, Exception), answer
                assert answer.classes == wanted
            else:
                assert isinstance(answer, clients.RejectedError)
    stranger.join()


def test_a_request_above_the_limit_of_a_batch_is_sent_in_parts(batching, png):
    inputs = {"image_bytes": [png[0]] * 19}
    with servers.client(batching.grpc, max_batch=8) as client:
        assert client.predict("features", inputs)["features"].shape[0] == 19
        with pytest.raises(clients.RejectedError, match="Task size 19 is larger than"):
            client._transport.predict("features", inputs)
    with (
        servers.client(batching.grpc) as client,
        pytest.raises(clients.RejectedError, match=r"batch size 8 .*max_batch=32"),
    ):
        client.predict("features", inputs)


def test_the_rest_api_rejects_url_safe_base64(server, png):
    safe = base64.urlsafe_b64encode(b"\xff\xfe\xfb" * 9 + png[0]).decode()
    assert "_" in safe or "-" in safe
    answer = requests.post(
        f"{server.rest}/v1/models/alexnet:predict",
        json={"inputs": {"image_bytes": [{"b64": safe}]}},
        timeout=30,
    )
    assert answer.status_code == 400
    assert "base64" in answer.json()["error"]


def test_the_log_mentions_the_warm_up(server):
    assert "warm" in server.log.read_text().lower()


def large():
    """An image that takes far longer than 10 ms to decode."""
    buffer = io.BytesIO()
    Image.new("RGB", (6000, 6000), (9, 99, 199)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_a_time_out_is_an_error_and_the_server_keeps_answering(address, png):
    with (
        servers.client(address, timeout_s=0.01) as hasty,
        pytest.raises(clients.ServerError, match=r"no answer within 0\.01 s"),
    ):
        hasty.classify(large())
    with servers.client(address) as client:
        assert client.classify(png[0]).scores


@pytest.mark.parametrize("name", [servers.NAME])
def test_under_load_a_new_version_takes_over_and_a_broken_one_does_not(
    exported, png, tmp_path, name
):
    """No request fails, and version 2 answers the last one, because 3 cannot load."""
    models = tmp_path / "alexnet"
    servers.copy_with_capital_classes(exported, models / "1")
    running = servers.Server(
        tmp_path,
        "--model_name=alexnet",
        f"--model_base_path={models}",
        "--file_system_poll_wait_seconds=1",
        "--max_num_load_retries=0",
    )
    stop = threading.Event()

    def images_until_stopped():
        while not stop.is_set():
            yield png[0]
            time.sleep(0.02)  # leaves the processor to the server

    def swap():
        try:
            shutil.copytree(exported, models / ".partial")
            (models / ".partial").rename(models / "2")
            running.wait_for("/versions/2")
            shutil.copytree(exported, models / ".partial")
            shutil.rmtree(models / ".partial" / "variables")
            (models / ".partial").rename(models / "3")
            running.wait_for_log("failed")
        finally:
            stop.set()

    try:
        with servers.client(running.grpc, attempts=1, in_flight=2) as client:
            thread = threading.Thread(target=swap)
            thread.start()
            answers = [
                answer
                for _, answer in client.map(client.classify, images_until_stopped())
            ]
            thread.join()
            assert [a for a in answers if isinstance(a, Exception)] == []
            assert answers[0].classes[0].startswith("Class")
            assert client.classify(png[0]).classes[0].startswith("class")
    finally:
        running.stop()


def test_no_request_fails_if_the_server_restarts(batching, png):
    options = {"attempts": 1000, "in_flight": 2}
    with (
        servers.client(batching.grpc, **options) as grpc,
        servers.client(batching.rest, **options) as rest,
    ):

        def stream():
            yield from (grpc, rest)
            batching.stop()
            again.start()
            yield from (grpc, rest, grpc, rest)

        again = threading.Thread(target=batching.start)
        answers = list(grpc.map(lambda client: client.classify(png[0]), stream()))
        again.join()
    assert [a for _, a in answers if isinstance(a, Exception)] == []
    assert len(answers) == 6
