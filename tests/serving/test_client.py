"""Clients of a server: every signature, over gRPC and REST, and what goes wrong.

Where a test asks a server, its name says which: `model_server` or `session_loader`, see
`servers.py`. The others ask a script of answers.
"""

import base64
import contextlib
import csv
import http.server
import io
import json
import re
import shutil
import struct
import subprocess
import sys
import threading
import time
import zlib

import numpy as np
import pytest
import requests
import tensorflow as tf
from PIL import Image

from alexnet_tf.models import trained
from alexnet_tf.serving import client as clients
from alexnet_tf.serving import signatures
from tests.support import servers

pass


def renamed(exported, path):
    """A copy of an export whose classes begin with another letter, to tell it by."""
    shutil.copytree(exported, path)
    graph = path / "saved_model.pb"
    graph.write_bytes(re.sub(rb"class(\d)", rb"Class\1", graph.read_bytes()))


def write_config(folder, stable, canary):
    (folder / "models.config").write_text(
        'model_config_list { config { name: "alexnet" model_platform: "tensorflow" '
        f'base_path: "{folder / "alexnet"}" '
        "model_version_policy { specific { versions: 1 versions: 2 } } "
        f'version_labels {{ key: "stable" value: {stable} }} '
        f'version_labels {{ key: "canary" value: {canary} }} }} }}'
    )


@pytest.fixture(scope="module", params=[servers.NAME])
def server(exported, tmp_path_factory):
    """Versions 1, whose classes are "Class...", stable, and 2, "class...", canary."""
    folder = tmp_path_factory.mktemp("server")
    renamed(exported, folder / "alexnet" / "1")
    shutil.copytree(exported, folder / "alexnet" / "2")
    write_config(folder, stable=1, canary=2)
    running = servers.Server(
        folder,
        f"--model_config_file={folder / 'models.config'}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
    )
    running.wait_for("/versions/2")
    yield running
    running.stop()


@pytest.fixture(params=[servers.NAME])
def start():
    """Starts a server with the flags given, and ends it with the test."""
    with contextlib.ExitStack() as stack:

        def begin(folder, *flags):
            running = servers.Server(folder, "--model_name=alexnet", *flags)
            stack.callback(running.stop)
            return running

        yield begin


@pytest.fixture(params=["grpc", "rest"])
def address(server, request):
    return getattr(server, request.param)


@pytest.fixture(scope="module")
def picture():
    rng = np.random.default_rng(4)
    pixels = rng.integers(0, 200, (40, 36, 3)).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue(), pixels


@pytest.fixture(scope="module")
def keras_answers(trained_run, picture):
    """What the run's own net says of the picture, by signature."""
    restored = trained.restore(trained_run)
    served = signatures.Signatures(
        restored.net,
        restored.architecture,
        classes=restored.dataset.classes,
        top=5,
        crops=1,
    )
    encoded = tf.constant([picture[0]])
    answer = {k: v.numpy() for k, v in served.images(encoded).items()}
    return answer | {"features": served.features(encoded)["features"].numpy()}


def test_every_signature_agrees_with_keras(address, picture, keras_answers):
    data, pixels = picture
    with clients.Client(address) as client:
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
    [("", "c"), ("1", "C"), ("2", "c"), ("stable", "C"), ("canary", "c")],
)
def test_versions_and_labels_answer(address, picture, version, letter):
    with clients.Client(address, version=version) as client:
        assert {name[0] for name in client.classify(picture[0]).classes} == {letter}


def test_a_label_is_promoted_and_rolled_back_without_a_restart(server, picture):
    def until_stable_is(letter):
        server.wait_until(
            lambda: client.classify(picture[0]).classes[0].startswith(letter)
        )

    with clients.Client(server.grpc, version="stable", attempts=1) as client:
        write_config(server.log.parent, stable=2, canary=2)
        until_stable_is("c")
        write_config(server.log.parent, stable=1, canary=2)
        until_stable_is("C")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"model": "other"}, "other"),
        ({"version": "9"}, "9"),
        ({"version": "beta"}, "beta"),
    ],
)
def test_what_is_not_served_is_named(address, picture, options, told):
    with (
        clients.Client(address, attempts=1, **options) as client,
        pytest.raises(clients.ServerError, match=told),
    ):
        client.classify(picture[0])


def bomb():
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    check = struct.pack(">I", zlib.crc32(b"IHDR" + header))
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + header + check


def truncated():
    buffer = io.BytesIO()
    Image.new("RGB", (300, 300), (9, 99, 199)).save(buffer, "JPEG")
    return buffer.getvalue()[:-300]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"not a picture", "not a JPEG, PNG, GIF or BMP"),
        (b"", "not a JPEG, PNG, GIF or BMP"),
        (truncated(), "JPEG"),
        (bomb(), "20000 rows of 20000 pixels"),
        (bytes(100_000_000), "more than 67108864 bytes"),
        (base64.urlsafe_b64encode(truncated()), "not a JPEG, PNG, GIF or BMP"),
    ],
    ids=["no_picture", "empty", "truncated", "bomb", "100_MB", "base64_text"],
)
def test_a_bad_picture_is_rejected_and_the_server_goes_on(address, picture, data, told):
    with clients.Client(address, timeout_s=60, attempts=1) as client:
        with pytest.raises(clients.RejectedError, match=told):
            client.classify(data)
        assert client.classify(picture[0]).scores


@pytest.mark.parametrize(
    ("signature", "inputs"),
    [
        ("serving_default", {"picture": [b"x"]}),
        ("no_such_signature", {"image_bytes": [b"x"]}),
        ("predict_images", {"image": np.zeros((1, 4, 4, 3)) + 0.5}),
        ("predict_images", {"image": np.zeros((4, 4, 3), np.uint8)}),
        ("serving_default", {"image_bytes": np.ones(2, np.float32)}),
    ],
    ids=["wrong_key", "wrong_signature", "wrong_type", "wrong_rank", "no_bytes"],
)
def test_a_request_of_another_form_is_an_error(address, picture, signature, inputs):
    image = inputs.get("image")
    if image is not None and image.dtype == float and address.startswith("http"):
        inputs = {"image": [[[["red", "green", "blue"]]]]}  # JSON has no types
    with clients.Client(address, attempts=1) as client:
        with pytest.raises(clients.ServerError):
            client.predict(signature, inputs)
        assert client.classify(picture[0]).scores


def test_url_safe_base64_is_refused_by_the_rest_api(server, picture):
    safe = base64.urlsafe_b64encode(b"\xff\xfe\xfb" * 9 + picture[0]).decode()
    assert "_" in safe or "-" in safe
    answer = requests.post(
        f"{server.rest}/v1/models/alexnet:predict",
        json={"inputs": {"image_bytes": [{"b64": safe}]}},
        timeout=30,
    )
    assert answer.status_code == 400
    assert "base64" in answer.json()["error"]


def test_the_log_shows_the_warm_up(server):
    assert "warm" in server.log.read_text().lower()


def large():
    """A picture whose decoding alone takes a thousand times a millisecond's part."""
    buffer = io.BytesIO()
    Image.new("RGB", (6000, 6000), (9, 99, 199)).save(buffer, "PNG", compress_level=1)
    return buffer.getvalue()


def test_a_time_out_is_told_and_the_server_goes_on(address, picture):
    with (
        clients.Client(address, timeout_s=0.01) as hasty,
        pytest.raises(clients.ServerError, match=r"no answer in 0\.01 s"),
    ):
        hasty.classify(large())
    with clients.Client(address, timeout_s=60) as client:
        assert client.classify(picture[0]).scores


def test_a_new_version_takes_over_under_load_and_a_broken_one_does_not(
    start, exported, picture, tmp_path
):
    """No request fails, and the last is answered by version 2 while 3 cannot load."""
    models = tmp_path / "alexnet"
    renamed(exported, models / "1")
    running = start(
        tmp_path, f"--model_base_path={models}", "--file_system_poll_wait_seconds=1"
    )
    stop = threading.Event()

    def pictures():
        while not stop.is_set():
            yield picture[0]

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

    with clients.Client(running.grpc, attempts=1, in_flight=2) as client:
        thread = threading.Thread(target=swap)
        thread.start()
        answers = [answer for _, answer in client.map(client.classify, pictures())]
        thread.join()
        assert [a for a in answers if isinstance(a, Exception)] == []
        assert answers[0].classes[0].startswith("Class")
        assert client.classify(picture[0]).classes[0].startswith("class")


def test_a_restart_in_mid_stream_costs_no_request(start, exported, picture, tmp_path):
    shutil.copytree(exported, tmp_path / "alexnet" / "1")
    running = start(tmp_path, f"--model_base_path={tmp_path / 'alexnet'}")
    options = {"attempts": 12, "in_flight": 2}
    with (
        clients.Client(running.grpc, **options) as grpc,
        clients.Client(running.rest, **options) as rest,
    ):

        def stream():
            yield from (grpc, rest)
            running.stop()
            again.start()
            yield from (grpc, rest, grpc, rest)

        again = threading.Thread(target=running.start)
        answers = list(grpc.map(lambda client: client.classify(picture[0]), stream()))
        again.join()
    assert [a for _, a in answers if isinstance(a, Exception)] == []
    assert len(answers) == 6


@contextlib.contextmanager
def scripted(*answers):
    """A REST server that gives each (status, body) in turn; a float waits so long."""
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            answer = answers[min(len(seen), len(answers) - 1)]
            seen.append(answer)
            if isinstance(answer, float):
                time.sleep(answer)
                return
            data = json.dumps(answer[1]).encode()
            self.send_response(answer[0])
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever)
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_port}", seen
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


GOOD = (200, {"outputs": {"classes": [["cat"]], "scores": [[0.5]]}})
BUSY = (503, {"error": "the queue is full"})
BAD = (400, {"error": "assertion failed: [image_bytes: no]\n\t [[{{node x}}]]"})


def test_a_busy_server_is_asked_again():
    with scripted(BUSY, BUSY, GOOD) as (url, seen), clients.Client(url) as client:
        assert client.classify(b"x") == (["cat"], [0.5])
        assert len(seen) == 3


def test_attempts_come_to_an_end():
    with (
        scripted(BUSY) as (url, seen),
        clients.Client(url, attempts=3) as client,
    ):
        with pytest.raises(clients.ServerError, match="503: the queue is full"):
            client.classify(b"x")
        assert len(seen) == 3


def test_a_rejection_is_doubted_once_for_the_batch_it_may_have_been_in():
    with scripted(BAD, GOOD) as (url, seen), clients.Client(url) as client:
        assert client.classify(b"x").classes == ["cat"]
    with scripted(BAD) as (url, seen), clients.Client(url) as client:
        with pytest.raises(clients.RejectedError, match="400: image_bytes: no$"):
            client.classify(b"x")
        assert len(seen) == 2


def test_a_timeout_is_told_and_not_repeated():
    with (
        scripted(1.0) as (url, seen),
        clients.Client(url, timeout_s=0.2) as client,
    ):
        with pytest.raises(clients.ServerError, match=r"no answer in 0\.2 s"):
            client.classify(b"x")
        assert len(seen) == 1


def test_no_server_at_all_is_told():
    for address in (
        f"http://127.0.0.1:{servers.free_port()}",
        f"127.0.0.1:{servers.free_port()}",
    ):
        with (
            clients.Client(address, attempts=2, timeout_s=2) as client,
            pytest.raises(clients.ServerError, match="127"),
        ):
            client.classify(b"x")


def test_no_more_than_in_flight_are_begun_and_the_order_is_kept():
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
    assert most == 3
    assert list(found) == list(range(1, 20))
    assert str(found.pop(7)) == "seven"
    assert all(answer == -number for number, answer in found.items())


@pytest.mark.parametrize(
    "server",
    ["localhost", "ftp://localhost:1", "localhost:many", "http://", ":8500", ""],
)
def test_a_server_is_named_in_one_of_four_ways(server):
    with pytest.raises(ValueError, match="a server is"):
        clients.Client(server)


@pytest.mark.parametrize(
    "options", [{"attempts": 0}, {"in_flight": 0}, {"timeout_s": 0}]
)
def test_limits_are_positive(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        clients.Client("localhost:1", **options)


def test_certificates_need_tls():
    with pytest.raises(ValueError, match="name the server as grpcs:// or https://"):
        clients.Client("localhost:1", ca_file="ca.pem")


def test_rest_needs_no_tensorflow():
    with scripted(GOOD) as (url, _):
        code = (
            "import sys\n"
            "from alexnet_tf import predict\nfrom alexnet_tf.serving import client\n"
            f"assert client.Client({url!r}).classify(b'x').classes == ['cat']\n"
            "heavy = {'tensorflow', 'keras', 'grpc', 'PIL'} & set(sys.modules)\n"
            "assert not heavy, heavy\n"
        )
        subprocess.run([sys.executable, "-c", code], check=True)


# The command.


def predict(*arguments):
    return subprocess.run(
        [sys.executable, "-m", "alexnet_tf.predict", *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_predict_asks_a_server_and_goes_on_after_a_bad_file(
    address, picture, tmp_path, keras_answers
):
    good, bad = tmp_path / "good.png", tmp_path / "bad.jpg"
    good.write_bytes(picture[0])
    bad.write_bytes(b"not a picture")
    done = predict(
        *(f"--server={address}", "--format=json", "--top=2"),
        *(str(bad), str(good), str(tmp_path / "absent.png")),
    )
    assert done.returncode == 1
    (found,) = json.loads(done.stdout)
    assert found["file"] == str(good)
    assert found["classes"] == [c.decode() for c in keras_answers["classes"][0][:2]]
    (line,) = [x for x in done.stderr.splitlines() if x.startswith(str(bad))]
    assert "image_bytes: not a JPEG, PNG, GIF or BMP" in line
    assert "absent.png" in done.stderr
    assert "2 of 3 files were not classified" in done.stderr


def test_the_bench_prints_a_line_for_each_number_in_flight(server, picture, tmp_path):
    file = tmp_path / "good.png"
    file.write_bytes(picture[0])
    done = predict(
        *(f"--server={server.rest}", "--bench", "--in_flight=3", "--format=csv"),
        *("--bench_requests=9", str(file)),
    )
    assert done.returncode == 0, done.stderr[-2000:]
    rows = list(csv.DictReader(io.StringIO(done.stdout)))
    assert [row["in_flight"] for row in rows] == ["1", "2", "3"]
    for row in rows:
        assert float(row["p50_s"]) <= float(row["p95_s"]) <= float(row["p99_s"])
        assert float(row["per_s"]) > 0


def test_a_bench_needs_a_server(tmp_path):
    done = predict("--bench", "picture.png")
    assert done.returncode == 1
    assert "--bench times a server: name it by --server=" in done.stderr
