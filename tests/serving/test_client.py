"""The client: how it names a server, retries, and works on many items at once.

A script of answers stands in for the server. `test_client_with_server.py` asks a real
one, or its stand-in.
"""

import base64
import functools
import io
import os
import shutil
import subprocess
import sys
import threading
import time

import grpc
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from tensorflow_serving.apis import classification_pb2, predict_pb2

from alexnet_tf.models import image_limits
from alexnet_tf.serving import client as clients
from alexnet_tf.serving.client import client as client_module
from alexnet_tf.serving.client import network
from alexnet_tf.serving.client import rest as rest_module
from tests.support import scripted_servers, servers

PROXIES = ("http_proxy", "https_proxy", "grpc_proxy", "all_proxy")
EXCEPTIONS = ("no_proxy", "no_grpc_proxy")


@pytest.fixture(autouse=True)
def no_proxies_and_short_waits(monkeypatch):
    for name in (*PROXIES, *EXCEPTIONS):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)
    monkeypatch.setattr(client_module, "FIRST_WAIT_S", 0.002)
    monkeypatch.setattr(client_module, "LONGEST_WAIT_S", 0.02)


def png(value=9):
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 99, 199)).save(buffer, "PNG")
    return buffer.getvalue()


IMAGE = png()
GOOD = (200, {"outputs": {"classes": [["cat"]], "scores": [[0.5]]}})
BUSY = (503, {"error": "the queue is full"})
BAD = (400, {"error": "assertion failed: [image_bytes: no]\n\t [[{{node x}}]]"})


def outputs(**arrays):
    """The response of gRPC with these outputs."""
    response = predict_pb2.PredictResponse()
    for name, value in arrays.items():
        response.outputs[name].CopyFrom(tf.make_tensor_proto(value))
    return response


GRPC_GOOD = outputs(classes=[[b"cat"]], scores=np.array([[0.5]], np.float32))


def test_a_busy_server_is_asked_again():
    with (
        scripted_servers.rest(BUSY, BUSY, GOOD) as (url, seen),
        clients.Client(url) as client,
    ):
        assert client.classify(IMAGE) == (["cat"], [0.5])
        assert len(seen) == 3


def test_the_client_gives_up_after_its_attempts():
    with (
        scripted_servers.rest(BUSY) as (url, seen),
        clients.Client(url, attempts=3) as client,
    ):
        with pytest.raises(clients.ServerError, match="503: the queue is full"):
            client.classify(IMAGE)
        assert len(seen) == 3


REPEATED = (429, 502, 503, 504)


@pytest.mark.parametrize("body", [{"error": "why"}, b"<html>a proxy's page</html>"])
@pytest.mark.parametrize("status", [401, 403, 404, 409, 413, 500, 501, *REPEATED])
def test_only_statuses_of_a_busy_server_are_sent_again(status, body):
    with (
        scripted_servers.rest((status, body)) as (url, seen),
        clients.Client(url, attempts=3) as client,
    ):
        with pytest.raises(clients.ServerError, match=f"status {status}: "):
            client.classify(IMAGE)
        assert len(seen) == (3 if status in REPEATED else 1)


REJECTIONS = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE")
REPEATED_CODES = ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED")


@pytest.mark.parametrize(
    "code",
    [c for c in grpc.StatusCode if c.name not in ("OK", *REJECTIONS)],
    ids=lambda code: code.name,
)
def test_only_codes_of_a_busy_server_are_sent_again(code):
    with (
        scripted_servers.grpc(code) as (address, seen),
        clients.Client(address, attempts=3, timeout_s=60) as client,
    ):
        with pytest.raises(clients.ServerError, match=f"{code.name}: the server says"):
            client.classify(IMAGE)
        assert len(seen) == (3 if code.name in REPEATED_CODES else 1)


def test_a_bad_image_is_never_sent():
    with (
        scripted_servers.rest(GOOD) as (url, seen),
        clients.Client(url) as client,
    ):
        for data in (b"", b"not an image", IMAGE[:45], IMAGE[:8]):
            for call in (
                client.classify,
                client.features,
                lambda data: client.classify_examples([IMAGE, data]),
                lambda data: client.predict("features", {"image_bytes": [data]}),
            ):
                with pytest.raises(clients.RejectedError, match="image_bytes"):
                    call(data)
        with pytest.raises(clients.RejectedError, match="bytes of an image file, got"):
            client.predict("features", {"image_bytes": ["image.jpg"]})
        assert seen == []


def test_a_sound_image_that_is_rejected_is_sent_until_the_deadline():
    """Its batch had a bad image of someone else's. The attempts do not matter."""
    script = [BAD] * 12 + [GOOD]
    with (
        scripted_servers.rest(*script) as (url, seen),
        clients.Client(url, attempts=2, timeout_s=600) as client,
    ):
        assert client.classify(IMAGE).classes == ["cat"]
        assert len(seen) == 13
    script = [grpc.StatusCode.INVALID_ARGUMENT] * 12 + [GRPC_GOOD]
    with (
        scripted_servers.grpc(*script) as (address, seen),
        clients.Client(address, attempts=2, timeout_s=600) as client,
    ):
        assert client.classify(IMAGE).classes == ["cat"]
        assert len(seen) == 13
    with (
        scripted_servers.rest(BAD) as (url, seen),
        clients.Client(url, timeout_s=0.3) as client,
    ):
        with pytest.raises(clients.RejectedError, match="400: image_bytes: no$"):
            client.classify(IMAGE)
        assert len(seen) > 1


def test_with_one_attempt_no_rejected_image_is_sent_again():
    with (
        scripted_servers.rest(BAD) as (url, seen),
        clients.Client(url, attempts=1, timeout_s=1) as client,
    ):
        with pytest.raises(clients.RejectedError, match="400: image_bytes: no$"):
            client.classify(IMAGE)
        assert len(seen) == 1


def test_the_names_of_a_model_and_of_a_label_are_parts_of_the_path():
    with (
        scripted_servers.rest(GOOD) as (url, seen),
        clients.Client(url, model="a/b c", version="d?e") as client,
    ):
        client.classify(IMAGE)
    assert [path for path, _ in seen] == ["/v1/models/a%2Fb%20c/labels/d%3Fe:predict"]


def test_a_busy_server_between_rejections_does_not_use_up_the_attempts():
    with (
        scripted_servers.rest(BAD, BUSY, BAD, BAD, GOOD) as (url, seen),
        clients.Client(url, attempts=2, timeout_s=600) as client,
    ):
        assert client.classify(IMAGE).classes == ["cat"]
        assert len(seen) == 5


def test_a_rejection_that_the_client_cannot_judge_is_final():
    with (
        scripted_servers.rest(BAD) as (url, seen),
        clients.Client(url, timeout_s=600) as client,
    ):
        with pytest.raises(clients.RejectedError):
            client.predict("another", {"numbers": [1, 2]})
        assert len(seen) == 1


def test_a_server_with_smaller_batches_is_named_at_once():
    error = "Task size 32 is larger than maximum input batch size 8"
    with (
        scripted_servers.rest((400, {"error": error})) as (url, seen),
        clients.Client(url, timeout_s=600) as client,
    ):
        with pytest.raises(clients.RejectedError, match=r"size 8 .*max_batch=32"):
            client.classify(IMAGE)
        assert len(seen) == 1


@pytest.mark.parametrize(
    "error",
    [
        "Unrecognized servable version label: beta",
        'Serving signature key "serving_default" not found.',
        "input tensor alias not found in signature: image_bytes",
    ],
)
def test_a_rejection_before_the_images_are_looked_at_is_final(error):
    with (
        scripted_servers.rest((400, {"error": error})) as (url, seen),
        clients.Client(url, timeout_s=600) as client,
    ):
        with pytest.raises(clients.RejectedError, match=error[:20]):
            client.classify(IMAGE)
        assert len(seen) == 1


def test_requests_above_the_limit_are_sent_in_parts():
    def double(body):
        rows = body["inputs"]["numbers"]
        return 200, {"outputs": [2 * row for row in rows]}

    def name_them(body):
        return 200, {"results": [[["cat", 0.25]] for _ in body["examples"]]}

    with (
        scripted_servers.rest(double, double, double, name_them) as (url, seen),
        clients.Client(url, max_batch=4) as client,
    ):
        found = client.predict("doubled", {"numbers": np.arange(10)})
        assert found["doubled"].tolist() == [2 * n for n in range(10)]
        assert client.classify_examples([IMAGE] * 7) == [(["cat"], [0.25])] * 7
    sent = [len(body["inputs"]["numbers"]) for _, body in seen[:3]]
    sent += [len(body["examples"]) for _, body in seen[3:]]
    assert sent == [4, 4, 2, 4, 3]


def test_large_images_are_sent_in_fewer_than_a_batch(monkeypatch):
    """Neither more bytes than one image may have nor more pixels than a request."""

    def classify_them(body):
        rows = len(body["inputs"]["image_bytes"])
        return 200, {"outputs": [[1.0]] * rows}

    with (
        scripted_servers.rest(classify_them) as (url, seen),
        clients.Client(url) as client,
    ):
        inputs = {"image_bytes": [png(value) for value in range(5)]}
        for limit, most in (
            ("MAX_BYTES", 2 * len(IMAGE)),
            ("MAX_REQUEST_PIXELS", 2 * 12),
            ("MAX_REQUEST_PIXELS", 1),
        ):
            with monkeypatch.context() as patch:
                patch.setattr(image_limits, limit, most)
                found = client.predict("features", inputs)["features"]
            assert found.shape == (5, 1)
    sent = [len(body["inputs"]["image_bytes"]) for _, body in seen]
    assert sent == [2, 2, 1, 2, 2, 1, 1, 1, 1, 1, 1]


def answer_of(value):
    """No two images have the same classes and scores."""
    return clients.Scored([f"class {value}", "another"], [value / 64, value / 128])


def answering(body, *, bad=(), most=None):
    """Answers by the first byte of each image's color, or rejects the request."""
    images = [base64.b64decode(e["b64"]) for e in body["inputs"]["image_bytes"]]
    values = [Image.open(io.BytesIO(image)).getpixel((0, 0))[0] for image in images]
    if most is not None and len(values) > most:
        return 400, {
            "error": f"Task size {len(values)} is larger than maximum input batch size"
        }
    if set(values) & set(bad):
        return BAD
    classes, scores = zip(*map(answer_of, values), strict=True)
    return 200, {"outputs": {"classes": classes, "scores": scores}}


def sizes_of(seen):
    return [len(body["inputs"]["image_bytes"]) for _, body in seen]


def test_images_are_sent_together_and_answered_in_order():
    with (
        scripted_servers.rest(answering) as (url, seen),
        clients.Client(url, max_batch=4) as client,
    ):
        found = client.classify_each([png(value) for value in range(10)])
        assert found == [answer_of(value) for value in range(10)]
        assert sizes_of(seen) == [4, 4, 2]
        assert client.classify_each([]) == []
        assert len(seen) == 3


def test_an_image_that_the_server_rejects_takes_no_other_along():
    reject = functools.partial(answering, bad=(2, 9))
    with (
        scripted_servers.rest(reject) as (url, seen),
        clients.Client(url, max_batch=8, attempts=1) as client,
    ):
        found = client.classify_each([png(value) for value in range(11)])
    for value, answer in enumerate(found):
        if value in (2, 9):
            assert isinstance(answer, clients.RejectedError)
            assert "image_bytes: no" in str(answer)
        else:
            assert answer == answer_of(value)
    # 0-7: halves until 2 is alone; 8-10: one by one.
    assert sizes_of(seen) == [8, 4, 2, 2, 1, 1, 4, 3, 1, 1, 1]


def test_a_batch_that_a_stranger_has_spoiled_is_sent_again_in_parts():
    script = [BAD] * 3 + [answering]
    with (
        scripted_servers.rest(*script) as (url, seen),
        clients.Client(url, timeout_s=60) as client,
    ):
        found = client.classify_each([png(value) for value in range(4)])
        assert found == [answer_of(value) for value in range(4)]
        assert sizes_of(seen) == [4, 2, 1, 1, 1, 2]


def test_a_server_with_smaller_batches_gets_them():
    limited = functools.partial(answering, most=5)
    with (
        scripted_servers.rest(limited) as (url, seen),
        clients.Client(url, max_batch=16) as client,
    ):
        for _ in range(2):
            found = client.classify_each([png(value) for value in range(16)])
            assert found == [answer_of(value) for value in range(16)]
    assert sizes_of(seen) == [16, 8, 4, 4, 8, 4, 4, *[4] * 4]


def test_a_request_that_is_wrong_as_a_whole_is_no_fault_of_an_image():
    wrong = (400, {"error": "Unrecognized servable version label: canary"})
    with (
        scripted_servers.rest(wrong) as (url, seen),
        clients.Client(url) as client,
    ):
        with pytest.raises(clients.ServerError, match="version label") as raised:
            client.classify_each([IMAGE] * 8)
        assert not isinstance(raised.value, clients.RejectedError)
        assert len(seen) == 1


def test_a_request_without_images_is_never_sent():
    with (
        scripted_servers.rest(GOOD) as (url, seen),
        clients.Client(url) as client,
    ):
        for signature, inputs in (
            ("serving_default", {"image_bytes": []}),
            ("predict_images", {"image": np.zeros((0, 8, 8, 3), np.uint8)}),
            ("another", {"numbers": []}),
            ("another", {}),
        ):
            with pytest.raises(clients.RejectedError, match="no images"):
                client.predict(signature, inputs)
        with pytest.raises(clients.RejectedError, match="no images"):
            client.classify_examples([])
        with pytest.raises(clients.RejectedError, match="equally many rows"):
            client.predict("another", {"a": [1], "b": [1, 2]})
        with pytest.raises(clients.RejectedError, match="one row per image, got int"):
            client.predict("another", {"a": 1})
        assert seen == []


def one_image(value, dtype=None):
    return np.full((1, 2, 2, 3), value, dtype)


@pytest.mark.parametrize(
    ("signature", "image", "message"),
    [
        ("predict_images", one_image(300), "0 to 255, got 300"),
        ("predict_images", one_image(-1), "0 to 255, got -1"),
        ("predict_images", one_image(0.5), "whole numbers for predict_images, got 0.5"),
        ("predict_images", one_image(np.nan), "0 to 255, got nan"),
        ("predict_images", one_image(True), "must be numbers, got bool"),
        ("predict_images", one_image("red"), "must be numbers, got <U3"),
        ("predict_images", np.zeros((2, 2, 3)), r"\[N, H, W, 3\], got \[2, 2, 3\]"),
        ("predict_images", np.zeros((1, 2, 2, 4)), r"3\], got \[1, 2, 2, 4\]"),
        ("predict_images", np.zeros((1, 2, 0, 3)), "2 rows of 0 pixels"),
        ("predict_images", np.zeros((1, 1, 101, 3)), "100 times the other"),
        ("predict_images", [[[[0, 0, 0]]], [[[0, 0, 0]] * 2]], "of different sizes"),
        ("predict_float_images", one_image(300.0), "0 to 255, got 300"),
        ("predict_float_images", one_image(-0.1), "0 to 255, got -0.1"),
        ("predict_float_images", one_image(np.inf), "0 to 255, got inf"),
    ],
)
def test_pixels_that_a_server_would_wrap_or_clip_are_never_sent(
    signature, image, message
):
    """Over REST, a server turns 300 into 44 and -1 into 255 without an error."""
    with (
        scripted_servers.rest(GOOD) as (url, seen),
        clients.Client(url) as client,
    ):
        with pytest.raises(clients.RejectedError, match=message):
            client.predict(signature, {"image": image})
        assert seen == []


def test_pixels_are_sent_in_the_type_of_the_signature():
    with (
        scripted_servers.rest(GOOD) as (url, seen),
        clients.Client(url) as client,
    ):
        client.predict("predict_images", {"image": one_image(255.0)})
        client.predict("predict_float_images", {"image": one_image(255)})
    sent = [body["inputs"]["image"][0][0][0] for _, body in seen]
    assert sent == [[255] * 3, [255.0] * 3]
    assert [type(row[0]) for row in sent] == [int, float]


def test_a_time_out_is_an_error_and_is_not_retried():
    with (
        scripted_servers.rest(1.0) as (url, seen),
        clients.Client(url, timeout_s=0.2) as client,
    ):
        with pytest.raises(clients.ServerError, match=r"no answer within 0\.2 s"):
            client.classify(IMAGE)
        assert len(seen) == 1


def test_an_answer_that_comes_byte_by_byte_ends_with_the_time_out():
    """Each wait for a byte is shorter than the time-out, and the last one never comes."""
    with (
        scripted_servers.dripping() as url,
        clients.Client(url, timeout_s=0.3) as client,
        pytest.raises(clients.ServerError, match=r"no answer within 0\.3 s"),
    ):
        client.classify(IMAGE)


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        ([], "not an answer of TensorFlow Serving: "),
        (b"<html>Sign in</html>", "TensorFlow Serving: <html>Sign in</html>$"),
        (b'{"outputs": {"classes": [["c', "TensorFlow Serving: "),
        (b"", "TensorFlow Serving: nothing"),
        (b"\xff\x1b[2J\x00", r"TensorFlow Serving: .\\x1b\[2J\\x00$"),
        (b"[" * 100_000, "TensorFlow Serving: "),
        ({"predictions": [1]}, "TensorFlow Serving: "),
        ({"outputs": {}}, "has no outputs"),
        ({"outputs": None}, "array of strings or of numbers, got null"),
        ({"outputs": {"classes": [["cat"]]}}, "has no scores, it has classes"),
        ({"outputs": [[0.5]]}, "has no classes"),
        ({"outputs": {"classes": [["cat"]], "scores": [["0.5"]]}}, "table of numbers"),
        ({"outputs": {"classes": [[1]], "scores": [[0.5]]}}, "table of strings"),
        ({"outputs": {"classes": [["cat"]], "scores": [0.5]}}, "table of numbers"),
        ({"outputs": {"classes": [["c"]], "scores": [[True]]}}, "strings or of number"),
        ({"outputs": {"classes": [["c", 1]], "scores": [[1, 0]]}}, "strings or of num"),
        ({"outputs": {"classes": [["cat"]], "scores": [[{}]]}}, "strings or of number"),
        ({"outputs": {"classes": [["c"]], "scores": [[1], [1]]}}, "one row for each"),
        (
            {"outputs": {"classes": [["c"]], "scores": [[1, 2]]}},
            "differ in length",
        ),
        ({"outputs": {"classes": [["c"]], "scores": [[[1], 2]]}}, "strings or of numb"),
        ({"outputs": {"classes": [["cat"]], "scores": [[float("nan")]]}}, "NaN or inf"),
        ({"outputs": {"classes": [["cat"]], "scores": [[1e300]]}}, "NaN or infinite"),
        ({"outputs": {"classes": [["cat"]], "scores": [[10**400]]}}, "strings or of"),
    ],
)
def test_an_answer_that_is_not_the_expected_json_is_an_error(answer, message):
    with (
        scripted_servers.rest((200, answer)) as (url, seen),
        clients.Client(url) as client,
    ):
        with pytest.raises(clients.ServerError, match=message) as caught:
            client.classify(IMAGE)
        assert not isinstance(caught.value, clients.RejectedError)
        assert str(caught.value).startswith(f"{url}/v1/models/alexnet: ")
        assert "\n" not in str(caught.value)
        assert len(seen) == 1


@pytest.mark.parametrize(
    "results",
    [
        None,
        [],
        [[["cat", 0.5]]] * 2,
        [["cat", 0.5]],
        [[["cat"]]],
        [[["cat", "0.5"]]],
        [[["cat", float("nan")]]],
        [[[1, 0.5]]],
    ],
)
def test_an_answer_of_the_classify_api_that_is_not_the_expected_json_is_an_error(
    results,
):
    with (
        scripted_servers.rest((200, {"results": results})) as (url, _),
        clients.Client(url) as client,
        pytest.raises(clients.ServerError, match="answer"),
    ):
        client.classify_examples([IMAGE])


def damaged():
    response = outputs(classes=[[b"cat"]], scores=[[0.5]])
    response.outputs["scores"].tensor_content = b"123"
    return response


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (outputs(), "has no outputs"),
        (outputs(classes=[[b"cat"]]), "has no scores"),
        (outputs(classes=[[b"cat"]], scores=[[0.5], [0.5]]), "one row for each"),
        (outputs(classes=[[b"cat"]], scores=[[np.nan]]), "NaN or infinite"),
        (outputs(classes=[[b"cat"]], scores=[[b"0.5"]]), "table of numbers"),
        (outputs(classes=[[b"cat"]], scores=0.5), "one row for each"),
        (damaged(), "damaged tensor"),
    ],
    ids=["none", "no_scores", "rows", "nan", "strings", "scalar", "damaged"],
)
def test_an_answer_over_grpc_that_is_not_the_expected_is_an_error(answer, message):
    with (
        scripted_servers.grpc(answer) as (address, seen),
        clients.Client(address) as client,
    ):
        with pytest.raises(clients.ServerError, match=f"^{address}: .*{message}"):
            client.classify(IMAGE)
        assert len(seen) == 1


def test_classes_over_grpc_for_another_number_of_images_are_an_error():
    with (
        scripted_servers.grpc(classification_pb2.ClassificationResponse()) as (url, _),
        clients.Client(url) as client,
        pytest.raises(clients.ServerError, match="classes of 0 images, not of 1"),
    ):
        client.classify_examples([IMAGE])


def test_an_answer_that_never_ends_is_an_error(monkeypatch):
    monkeypatch.setattr(rest_module, "_MAX_ANSWER_BYTES", 1000)
    with (
        scripted_servers.rest((200, {"outputs": "x" * 2000})) as (url, _),
        clients.Client(url) as client,
        pytest.raises(clients.ServerError, match="more than 1000 bytes"),
    ):
        client.classify(IMAGE)


def test_an_answer_that_is_cut_off_is_asked_for_again():
    short = (200, b'{"outputs": ', {"Content-Length": "100"})
    with (
        scripted_servers.rest(short, GOOD) as (url, seen),
        clients.Client(url) as client,
    ):
        assert client.classify(IMAGE).classes == ["cat"]
        assert len(seen) == 2


@pytest.mark.parametrize("status", [301, 302, 303, 307, 308])
def test_a_redirection_is_not_followed(status):
    with scripted_servers.rest(GOOD) as (other, seen_there):
        redirection = (status, b"", {"Location": f"{other}/v1/models/alexnet:predict"})
        with (
            scripted_servers.rest(redirection) as (url, seen),
            clients.Client(url) as client,
        ):
            with pytest.raises(clients.ServerError, match=f"redirected to {other}"):
                client.classify(IMAGE)
            assert (len(seen), len(seen_there)) == (1, 0)


@pytest.mark.parametrize("answer", [["a list"], {"status": "a proxy's own object"}])
def test_an_answer_of_another_kind_of_server_is_an_error_that_shows_it(answer):
    with (
        scripted_servers.rest((404, answer)) as (url, _),
        clients.Client(url) as client,
        pytest.raises(clients.ServerError, match=r"404: .*(a list|a proxy's own)"),
    ):
        client.classify(IMAGE)


def test_an_absent_server_is_an_error_with_its_address():
    for address in (
        f"http://127.0.0.1:{servers.free_port()}",
        f"127.0.0.1:{servers.free_port()}",
    ):
        with (
            clients.Client(address, attempts=2, timeout_s=2) as client,
            pytest.raises(clients.ServerError, match="127.*refused") as raised,
        ):
            client.classify(IMAGE)
        assert "HTTPConnection" not in str(raised.value)


@pytest.mark.parametrize(
    ("host", "here"),
    [
        ("localhost", True),
        ("LOCALHOST", True),
        ("localhost.", True),
        ("127.0.0.1", True),
        ("127.4.5.6", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("0.0.0.0", True),
        ("128.0.0.1", False),
        ("localhost.example.org", False),
        ("127.0.0.1.example.org", False),
        ("::2", False),
    ],
)
def test_names_of_this_machine_are_known(host, here):
    assert network.is_this_machine(host) == here


def test_this_machine_is_asked_directly_whatever_the_proxy(monkeypatch):
    proxy = f"http://127.0.0.1:{servers.free_port()}"  # nothing listens there
    for name in PROXIES:
        monkeypatch.setenv(name, proxy)
        monkeypatch.setenv(name.upper(), proxy)
    with scripted_servers.rest(GOOD) as (url, _):
        port = url.rpartition(":")[2]
        for host in ("127.0.0.1", "localhost"):
            with clients.Client(f"http://{host}:{port}", attempts=1) as client:
                assert client.classify(IMAGE).classes == ["cat"]
    with (
        scripted_servers.grpc(GRPC_GOOD) as (address, _),
        clients.Client(address, attempts=1) as client,
    ):
        assert client.classify(IMAGE).classes == ["cat"]


def test_another_machine_is_asked_through_the_proxy_which_errors_name(monkeypatch):
    page = (403, b"<html>Access denied by policy</html>")
    with scripted_servers.rest(page, GOOD) as (proxy, seen):
        secret = proxy.replace("://", "://me:secret@")
        monkeypatch.setenv("http_proxy", secret)
        with clients.Client("http://model.example:8501", attempts=1) as client:
            with pytest.raises(clients.ServerError) as caught:
                client.classify(IMAGE)
            message = str(caught.value)
            assert f"asked through the proxy {proxy}" in message
            assert "put model.example into no_proxy" in message
            assert "Access denied by policy" in message
            assert "secret" not in message
            # A proxy that works is used.
            assert client.classify(IMAGE).classes == ["cat"]
        assert seen[0][0].startswith("http://model.example:8501/")
    with (
        clients.Client("http://model.example:8501", attempts=1) as client,
        pytest.raises(clients.ServerError, match=f"proxy failed.*proxy {proxy}"),
    ):
        client.classify(IMAGE)  # the proxy is gone now


def test_the_proxy_of_grpc_is_named_too(monkeypatch):
    proxy = f"http://127.0.0.1:{servers.free_port()}"
    monkeypatch.setenv("http_proxy", proxy)
    with (
        clients.Client("model.example:8500", attempts=1) as client,
        pytest.raises(clients.ServerError, match=f"asked through the proxy {proxy}"),
    ):
        client.classify(IMAGE)
    monkeypatch.setenv("no_proxy", "example")
    assert network.grpc_proxy("model.example") is None
    assert network.grpc_proxy("model.other") == proxy


needs_openssl = pytest.mark.skipif(
    not shutil.which("openssl"), reason="makes certificates with openssl"
)


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    return scripted_servers.Certificate(tmp_path_factory.mktemp("tls") / "own")


@needs_openssl
@pytest.mark.parametrize(
    ("spoken", "named", "right"),
    [
        ("http", "https://", "http://"),
        ("http", "", "http://"),
        ("http", "grpcs://", "http://"),
        ("https", "http://", "https://"),
        ("https", "", "https://"),
        ("grpc", "http://", ""),
        ("grpc", "https://", ""),
        ("grpc", "grpcs://", ""),
        ("grpcs", "http://", "grpcs://"),
        ("grpcs", "", "grpcs://"),
    ],
)
def test_a_server_of_another_protocol_is_named_as_it_should_be(
    certificate, spoken, named, right
):
    start = scripted_servers.rest if "http" in spoken else scripted_servers.grpc
    answer = GOOD if "http" in spoken else GRPC_GOOD
    tls = certificate if spoken in ("https", "grpcs") else None
    with start(answer, certificate=tls) as (address, seen):
        place = address.rpartition("/")[2]
        with (
            clients.Client(f"{named}{place}", timeout_s=60) as client,
            pytest.raises(clients.ServerError, match=f"name it as {right}{place}"),
        ):
            client.classify(IMAGE)
        assert seen == []


@needs_openssl
@pytest.mark.parametrize("scheme", ["https", "grpcs"])
def test_a_certificate_is_trusted_only_if_the_caller_trusts_it(
    certificate, tmp_path, scheme
):
    start = scripted_servers.rest if scheme == "https" else scripted_servers.grpc
    answer = GOOD if scheme == "https" else GRPC_GOOD
    other = scripted_servers.Certificate(tmp_path / "other")
    with start(answer, certificate=certificate) as (address, seen):
        server = f"{scheme}://{address.rpartition('/')[2]}"
        with clients.Client(server, ca_file=str(certificate.certificate)) as client:
            assert client.classify(IMAGE).classes == ["cat"]
        assert len(seen) == 1
        for trusted in (None, str(other.certificate)):
            with (
                clients.Client(server, ca_file=trusted) as client,
                pytest.raises(clients.ServerError, match="ca_file names the"),
            ):
                client.classify(IMAGE)
        assert len(seen) == 1


@needs_openssl
def test_a_certificate_for_another_host_is_not_trusted(tmp_path):
    other = scripted_servers.Certificate(tmp_path / "host", "model.example")
    with (
        scripted_servers.rest(GOOD, certificate=other) as (url, seen),
        clients.Client(url, ca_file=str(other.certificate)) as client,
    ):
        with pytest.raises(clients.ServerError, match="TLS failed.*127.0.0.1"):
            client.classify(IMAGE)
        assert seen == []


def test_a_file_of_certificates_is_read_at_once(tmp_path):
    empty = tmp_path / "empty.pem"
    empty.write_text("no certificate")
    fifo = tmp_path / "fifo.pem"
    os.mkfifo(fifo)
    for scheme in ("https", "grpcs"):
        server = f"{scheme}://127.0.0.1:1"
        with pytest.raises(ValueError, match="has no certificates in PEM"):
            clients.Client(server, ca_file=str(empty))
        with pytest.raises(ValueError, match="cannot be read: No such file"):
            clients.Client(server, ca_file=str(tmp_path / "absent.pem"))
        with pytest.raises(ValueError, match="is a folder or a device, not a file"):
            clients.Client(server, ca_file=str(fifo))


def test_map_keeps_the_order_and_starts_at_most_in_flight_calls():
    running, most, lock = 0, 0, threading.Lock()
    read = []

    def items():
        for number in range(20):
            read.append(number)
            yield number

    def work(number):
        nonlocal running, most
        with lock:
            running += 1
            most = max(most, running)
        time.sleep(0.005)
        with lock:
            running -= 1
        if number == 7:
            raise ValueError("seven")
        return -number

    with clients.Client("http://127.0.0.1:1", in_flight=3) as client:
        answers = client.map(work, items())
        next(answers)
        assert len(read) <= 3
        found = dict(answers)
    assert most <= 3
    assert list(found) == list(range(1, 20))
    assert str(found.pop(7)) == "seven"
    assert all(answer == -number for number, answer in found.items())


@pytest.mark.parametrize(
    "server",
    ["localhost", "ftp://localhost:1", "localhost:many", "http://", ":8500", ""],
)
def test_a_server_named_in_any_other_way_is_rejected(server):
    with pytest.raises(ValueError, match="server must"):
        clients.Client(server)


@pytest.mark.parametrize(
    "options", [{"attempts": 0}, {"in_flight": 0}, {"timeout_s": 0}, {"max_batch": 0}]
)
def test_limits_that_are_not_positive_are_rejected(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        clients.Client("localhost:1", **options)


def test_certificates_need_tls():
    with pytest.raises(ValueError, match="name the server as grpcs:// or https://"):
        clients.Client("localhost:1", ca_file="ca.pem")


def test_importing_the_client_does_not_import_tensorflow_grpc_or_pillow():
    code = (
        "import sys, alexnet_tf.serving.client\n"
        "heavy = {'tensorflow', 'keras', 'grpc', 'PIL'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rest_does_not_import_tensorflow():
    with scripted_servers.rest(GOOD) as (url, _):
        code = (
            "import sys\n"
            "from alexnet_tf import predict\n"
            "from alexnet_tf.serving import classification, client\n"
            f"found = client.Client({url!r}).classify({IMAGE!r})\n"
            "assert found.classes == ['cat']\n"
            "heavy = {'tensorflow', 'keras', 'grpc'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
