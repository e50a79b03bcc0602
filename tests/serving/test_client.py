"""The client: how it names a server, retries, and works on many items at once.

A script of answers stands in for the server. `test_client_with_server.py` asks a real
one, or its stand-in.
"""

import contextlib
import http.server
import json
import subprocess
import sys
import threading
import time

import pytest

from alexnet_tf.serving import client as clients
from tests.support import servers


@contextlib.contextmanager
def scripted(*answers):
    """A REST server that gives these answers in turn, and repeats the last one.

    An answer is (status, body); a float is a number of seconds after which the
    connection ends without an answer.
    """
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


def test_the_client_gives_up_after_its_attempts():
    with (
        scripted(BUSY) as (url, seen),
        clients.Client(url, attempts=3) as client,
    ):
        with pytest.raises(clients.ServerError, match="503: the queue is full"):
            client.classify(b"x")
        assert len(seen) == 3


def test_a_rejected_image_is_sent_once_more_because_its_batch_may_have_failed():
    with scripted(BAD, GOOD) as (url, seen), clients.Client(url) as client:
        assert client.classify(b"x").classes == ["cat"]
    with scripted(BAD) as (url, seen), clients.Client(url) as client:
        with pytest.raises(clients.RejectedError, match="400: image_bytes: no$"):
            client.classify(b"x")
        assert len(seen) == 2


def test_a_time_out_is_an_error_and_is_not_retried():
    with (
        scripted(1.0) as (url, seen),
        clients.Client(url, timeout_s=0.2) as client,
    ):
        with pytest.raises(clients.ServerError, match=r"no answer within 0\.2 s"):
            client.classify(b"x")
        assert len(seen) == 1


@pytest.mark.parametrize("answer", [["a list"], {"status": "a proxy's own object"}])
def test_an_answer_of_another_kind_of_server_is_an_error_that_shows_it(answer):
    with (
        scripted((404, answer)) as (url, _),
        clients.Client(url) as client,
        pytest.raises(clients.ServerError, match=r"404: .*(a list|a proxy's own)"),
    ):
        client.classify(b"x")


def test_an_absent_server_is_an_error_with_its_address():
    for address in (
        f"http://127.0.0.1:{servers.free_port()}",
        f"127.0.0.1:{servers.free_port()}",
    ):
        with (
            clients.Client(address, attempts=2, timeout_s=2) as client,
            pytest.raises(clients.ServerError, match="127"),
        ):
            client.classify(b"x")


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
    assert most == 3
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
    "options", [{"attempts": 0}, {"in_flight": 0}, {"timeout_s": 0}]
)
def test_limits_that_are_not_positive_are_rejected(options):
    with pytest.raises(ValueError, match=f"{next(iter(options))} must be"):
        clients.Client("localhost:1", **options)


def test_certificates_need_tls():
    with pytest.raises(ValueError, match="name the server as grpcs:// or https://"):
        clients.Client("localhost:1", ca_file="ca.pem")


REQUIRE_LIGHT_MODULES = (
    "heavy = {'tensorflow', 'keras', 'grpc', 'PIL'} & set(sys.modules)\n"
    "assert not heavy, heavy\n"
)


def test_importing_the_client_does_not_import_tensorflow_or_grpc():
    code = f"import sys, alexnet_tf.serving.client\n{REQUIRE_LIGHT_MODULES}"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_rest_does_not_import_tensorflow():
    with scripted(GOOD) as (url, _):
        code = (
            "import sys\n"
            "from alexnet_tf import predict\n"
            "from alexnet_tf.serving import classification, client\n"
            f"assert client.Client({url!r}).classify(b'x').classes == ['cat']\n"
            f"{REQUIRE_LIGHT_MODULES}"
        )
        subprocess.run([sys.executable, "-c", code], check=True)
