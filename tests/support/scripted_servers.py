"""Servers that give the answers of a script, for tests of how a client takes them."""

import concurrent.futures
import contextlib
import http.server
import json
import ssl
import subprocess
import threading
import time

import grpc as grpc_library
from tensorflow_serving.apis import prediction_service_pb2_grpc


@contextlib.contextmanager
def rest(*answers, port=0, certificate=None):
    """A REST server that gives these answers in turn, and repeats the last one.

    An answer is (status, body) or (status, body, headers). The body is bytes, or what is
    sent as JSON. A function is called with the request's JSON and returns the answer; a
    float is a number of seconds after which the connection ends without an answer.
    Yields the address and the list of the requests, each as (path, JSON).

    Args:
        port: listens there; 0 for any free port.
        certificate: speaks TLS with this one, of `make_certificate`.
    """
    seen = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_GET(self):  # is not a request to the model
            self.give(answers[0], None)

        def do_POST(self):
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer = answers[min(len(seen), len(answers) - 1)]
            seen.append((self.path, body))
            self.give(answer, body)

        def give(self, answer, body):
            if isinstance(answer, float):
                time.sleep(answer)
                return
            status, content, *headers = answer(body) if callable(answer) else answer
            data = (
                content if isinstance(content, bytes) else json.dumps(content).encode()
            )
            self.send_response(status)
            headers = {"Content-Length": str(len(data))} | (
                headers[0] if headers else {}
            )
            for name, value in headers.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    class Server(http.server.ThreadingHTTPServer):
        def handle_error(self, request, address):
            pass  # a client of another protocol, or one that has gone

    found = Server(("127.0.0.1", port), Handler)
    scheme = "http"
    if certificate is not None:
        scheme = "https"
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(certificate.certificate, certificate.key)
        # The handshake happens in the thread of the request.
        found.socket = context.wrap_socket(
            found.socket, server_side=True, do_handshake_on_connect=False
        )
    thread = threading.Thread(target=found.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"{scheme}://127.0.0.1:{found.server_port}", seen
    finally:
        found.shutdown()
        found.server_close()
        thread.join()


@contextlib.contextmanager
def dripping():
    """A REST server whose answer comes byte by byte and never ends; yields its address."""
    stop = threading.Event()

    class Handler(http.server.BaseHTTPRequestHandler):
        def log_message(self, *arguments):
            pass

        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(200)
            self.send_header("Content-Length", "1000000")
            self.end_headers()
            with contextlib.suppress(OSError):  # the client has gone
                while not stop.wait(0.02):
                    self.wfile.write(b" ")

    found = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=found.serve_forever, args=[0.02])
    thread.start()
    try:
        yield f"http://127.0.0.1:{found.server_port}"
    finally:
        stop.set()
        found.shutdown()
        found.server_close()
        thread.join()


@contextlib.contextmanager
def grpc(*answers, certificate=None):
    """A gRPC server that gives these answers in turn, and repeats the last one.

    An answer is a response, or a code of gRPC with which the call fails. Yields the
    address and the list of the requests.
    """
    seen = []

    class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
        def Predict(self, request, context):
            answer = answers[min(len(seen), len(answers) - 1)]
            seen.append(request)
            if isinstance(answer, grpc_library.StatusCode):
                context.abort(answer, f"the server says {answer.name}")
            return answer

        Classify = Predict

    server = grpc_library.server(concurrent.futures.ThreadPoolExecutor(2))
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(), server
    )
    if certificate is None:
        port = server.add_insecure_port("127.0.0.1:0")
    else:
        pair = (certificate.key.read_bytes(), certificate.certificate.read_bytes())
        port = server.add_secure_port(
            "127.0.0.1:0", grpc_library.ssl_server_credentials([pair])
        )
    server.start()
    try:
        yield f"127.0.0.1:{port}", seen
    finally:
        server.stop(0).wait()


class Certificate:
    """A self-signed certificate for a host: the files `certificate` and `key`."""

    def __init__(self, folder, host="127.0.0.1"):
        folder.mkdir()
        self.certificate, self.key = folder / "certificate.pem", folder / "key.pem"
        kind = "IP" if host[0].isdigit() else "DNS"
        subprocess.run(
            [
                *("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes"),
                *("-days", "3", "-subj", f"/CN={host}"),
                *("-addext", f"subjectAltName={kind}:{host}"),
                *("-keyout", str(self.key), "-out", str(self.certificate)),
            ],
            check=True,
            capture_output=True,
        )
