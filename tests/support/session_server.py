"""A stand-in for tensorflow_model_server, for machines that do not have it.

It accepts the server's flags and serves the gRPC PredictionService of
tensorflow-serving-api and the JSON of the REST API. It runs exports through
TensorFlow's C++ session loader, replays their warm-up requests first, and follows model
versions and labels. It has never loaded this package's operations. It does not batch
and has no monitoring. To start it by hand:

    python tests/support/session_server.py --rest_api_port=8501 --model_name=alexnet \
      --model_base_path=$PWD/runs/demo/export
"""

import argparse
import base64
import concurrent.futures
import http.server
import json
import pathlib
import re
import threading
import time

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.python.framework import errors
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

STATUS = {
    errors.InvalidArgumentError: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.NotFoundError: (grpc.StatusCode.NOT_FOUND, 404),
    errors.UnavailableError: (grpc.StatusCode.UNAVAILABLE, 503),
}


class Version:
    """One loaded SavedModel, which has answered its warm-up requests."""

    def __init__(self, path):
        self.session = tf.compat.v1.Session(graph=tf.Graph())
        graph = tf.compat.v1.saved_model.loader.load(self.session, ["serve"], str(path))
        self.signatures = graph.signature_def
        requests = path / "assets.extra" / "tf_serving_warmup_requests"
        with self.session.graph.as_default():
            records = list(tf.compat.v1.io.tf_record_iterator(str(requests)))
        for record in records:
            log = prediction_log_pb2.PredictionLog.FromString(record)
            if log.HasField("predict_log"):
                request = log.predict_log.request
                values = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
                self.run(request.model_spec.signature_name, values)
            else:
                request = log.classify_log.request
                self.classify(request.model_spec.signature_name, request.input)
        print(f"warmed up {path.name} with {len(records)} requests", flush=True)

    def run(self, name, inputs):
        if name not in self.signatures:
            raise errors.InvalidArgumentError(None, None, f"no signature {name!r}")
        signature = self.signatures[name]
        if set(inputs) != set(signature.inputs):
            raise errors.InvalidArgumentError(
                None,
                None,
                f"the inputs must be {set(signature.inputs)}, got {set(inputs)}",
            )
        feed = {}
        for key, value in inputs.items():
            dtype = tf.as_dtype(signature.inputs[key].dtype)
            if tf.as_dtype(value.dtype) != dtype and value.dtype.kind not in "OS":
                raise errors.InvalidArgumentError(
                    None, None, f"{key} must be {dtype.name}, got {value.dtype}"
                )
            feed[signature.inputs[key].name] = value
        fetch = {key: value.name for key, value in signature.outputs.items()}
        return self.session.run(fetch, feed)

    def classify(self, name, examples):
        rows = [e.SerializeToString() for e in examples.example_list.examples]
        return self.run(name or "classify", {"inputs": np.array(rows, dtype=object)})


class Models:
    """The models of a config. A thread calls `follow`, to keep up with its changes."""

    def __init__(self, arguments):
        self.arguments = arguments
        self.loaded = {}
        self.failed = set()
        self.read_config()
        self.update()

    def read_config(self):
        config = model_server_config_pb2.ModelServerConfig()
        if self.arguments.model_config_file:
            text = pathlib.Path(self.arguments.model_config_file).read_text()
            text_format.Parse(text, config)
        else:
            config.model_config_list.config.add(
                name=self.arguments.model_name,
                base_path=self.arguments.model_base_path,
            )
        self.configs = {c.name: c for c in config.model_config_list.config}

    def follow(self):
        """Reads the config and the folders again and again."""
        while True:
            time.sleep(self.arguments.file_system_poll_wait_seconds)
            if self.arguments.model_config_file_poll_wait_seconds:
                self.read_config()
            self.update()

    def update(self):
        """Loads what is wanted, and only then unloads what is not."""
        for name, config in self.configs.items():
            loaded = self.loaded.setdefault(name, {})
            folder = pathlib.Path(config.base_path)
            found = {int(c.name) for c in folder.glob("*") if c.name.isdigit()}
            specific = set(config.model_version_policy.specific.versions)
            wanted = found & specific if specific else set(sorted(found)[-1:])
            for version in wanted - set(loaded) - self.failed:
                try:
                    loaded[version] = Version(folder / str(version))
                except (errors.OpError, OSError) as error:
                    message = f"Loading servable: {name} {version} failed: {error}"
                    print(message, flush=True)
                    self.failed.add(version)
            if wanted & set(loaded):
                for version in set(loaded) - wanted:
                    del loaded[version]

    def find(self, name, version=None, label=None):
        if name not in self.configs:
            raise errors.NotFoundError(None, None, f"no model {name!r}")
        if label:
            labels = self.configs[name].version_labels
            if label not in labels:
                raise errors.InvalidArgumentError(
                    None, None, f"Unrecognized servable version label: {label}"
                )
            version = labels[label]
        loaded = self.loaded[name]
        if version is None:
            if not loaded:
                raise errors.UnavailableError(None, None, f"{name} is not loaded")
            version = max(loaded)
        if version not in loaded:
            raise errors.NotFoundError(None, None, f"no version {version} of {name}")
        return loaded[version]

    def find_by_spec(self, spec):
        """The version that a request names in its model_spec."""
        version = spec.version.value if spec.HasField("version") else None
        return self.find(spec.name, version, spec.version_label)


class Service(prediction_service_pb2_grpc.PredictionServiceServicer):
    def __init__(self, models):
        self.models = models

    def Predict(self, request, context):
        def answer():
            version = self.models.find_by_spec(request.model_spec)
            inputs = {k: tf.make_ndarray(v) for k, v in request.inputs.items()}
            outputs = version.run(
                request.model_spec.signature_name or "serving_default", inputs
            )
            response = predict_pb2.PredictResponse()
            for key, value in outputs.items():
                response.outputs[key].CopyFrom(tf.make_tensor_proto(value))
            return response

        return guarded(answer, context)

    def Classify(self, request, context):
        def answer():
            version = self.models.find_by_spec(request.model_spec)
            outputs = version.classify(request.model_spec.signature_name, request.input)
            response = classification_pb2.ClassificationResponse()
            for classes, scores in zip(
                outputs["classes"], outputs["scores"], strict=True
            ):
                row = response.result.classifications.add()
                for label, score in zip(classes, scores, strict=True):
                    row.classes.add(label=label, score=score)
            return response

        return guarded(answer, context)


def guarded(answer, context):
    """`answer()`; an error of TensorFlow's becomes the status of a gRPC call."""
    try:
        return answer()
    except tuple(STATUS) as error:
        context.abort(STATUS[type(error)][0], error.message)


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True  # headers and body are two writes
    models: Models

    def log_message(self, *arguments):
        pass

    def do_GET(self):
        self.reply(self.status)

    def do_POST(self):
        data = self.rfile.read(int(self.headers["Content-Length"]))
        self.reply(lambda *place: self.method(json.loads(data), *place))

    def reply(self, answer):
        """Sends what `answer(name, version, label, method)` returns, or its error."""
        match = re.fullmatch(
            r"/v1/models/([^/:]+)(?:/versions/(\d+)|/labels/([^/:]+))?(?::(\w+))?",
            self.path,
        )
        try:
            if not match:
                raise errors.NotFoundError(None, None, f"no such path {self.path}")
            name, version, label, method = match.groups()
            number = int(version) if version else None
            code, body = 200, answer(name, number, label, method)
        except tuple(STATUS) as error:
            code, body = STATUS[type(error)][1], {"error": error.message}
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def status(self, name, version, label, method):
        self.models.find(name, version, label)
        versions = sorted(self.models.loaded[name])
        return {
            "model_version_status": [
                {"version": str(v), "state": "AVAILABLE"} for v in versions
            ]
        }

    def method(self, body, name, version, label, method):
        loaded = self.models.find(name, version, label)
        if method == "classify":
            return classify_json(loaded, body)
        return predict_json(loaded, body)


def classify_json(loaded, body):
    """Answers the JSON of a classify request."""
    outputs = loaded.classify(body["signature_name"], examples(body))
    return {
        "results": [
            [[c.decode(), float(s)] for c, s in zip(*row, strict=True)]
            for row in zip(outputs["classes"], outputs["scores"], strict=True)
        ]
    }


def predict_json(loaded, body):
    """Answers the JSON of a predict request."""
    signature = body.get("signature_name", "serving_default")
    if signature not in loaded.signatures:
        raise errors.InvalidArgumentError(None, None, f"no signature {signature!r}")
    wanted = loaded.signatures[signature].inputs
    inputs = {}
    for key, value in body["inputs"].items():
        kind = tf.as_dtype(wanted[key].dtype) if key in wanted else tf.string
        plain = decoded(value)
        try:
            inputs[key] = np.array(
                plain, object if kind == tf.string else kind.as_numpy_dtype
            )
        except ValueError as error:
            raise errors.InvalidArgumentError(None, None, str(error)) from None
    outputs = {
        key: [
            [c.decode() if isinstance(c, bytes) else float(c) for c in row]
            for row in value
        ]
        for key, value in loaded.run(signature, inputs).items()
    }
    return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}


def decoded(value):
    """JSON of a request, with {"b64": ...} replaced by the bytes."""
    if isinstance(value, dict):
        try:
            return base64.b64decode(value["b64"], validate=True)
        except (KeyError, ValueError):
            raise errors.InvalidArgumentError(
                None, None, "JSON object: does not have valid base64 of key 'b64'"
            ) from None
    if isinstance(value, list):
        return [decoded(element) for element in value]
    return value


def examples(body):
    """The examples of a classify request in JSON, as the proto's input."""
    request = classification_pb2.ClassificationRequest()
    for row in body["examples"]:
        example = request.input.example_list.examples.add()
        for key, value in row.items():
            example.features.feature[key].bytes_list.value.append(decoded(value))
    return request.input


def parser():
    """A parser of the flags of tensorflow_model_server that this project uses."""
    found = argparse.ArgumentParser(allow_abbrev=False)
    found.add_argument("--port", type=int, default=8500)
    found.add_argument("--rest_api_port", type=int, default=0)
    found.add_argument("--model_config_file", default="")
    found.add_argument("--model_config_file_poll_wait_seconds", type=int, default=0)
    found.add_argument("--model_base_path", default="")
    found.add_argument("--model_name", default="default")
    found.add_argument("--file_system_poll_wait_seconds", type=int, default=1)
    found.add_argument("--ssl_config_file", default="")
    # These are accepted, and have no effect.
    found.add_argument("--batching_parameters_file", default="")
    found.add_argument("--monitoring_config_file", default="")
    for name in ("enable_batching", "allow_version_labels_for_unavailable_models"):
        found.add_argument(f"--{name}", nargs="?", const="true", default="false")
    return found


def main():
    arguments = parser().parse_args()
    models = Models(arguments)  # before the ports open, as in the real server
    threading.Thread(target=models.follow, daemon=True).start()
    server = grpc.server(
        concurrent.futures.ThreadPoolExecutor(8),
        options=[
            ("grpc.max_receive_message_length", 2**31 - 1),
            ("grpc.so_reuseport", 0),
        ],
    )
    prediction_service_pb2_grpc.add_PredictionServiceServicer_to_server(
        Service(models), server
    )
    address = f"127.0.0.1:{arguments.port}"
    if arguments.ssl_config_file:
        key, certificate = tls(pathlib.Path(arguments.ssl_config_file).read_text())
        credentials = grpc.ssl_server_credentials([(key, certificate)])
        server.add_secure_port(address, credentials)
    else:
        server.add_insecure_port(address)
    server.start()
    if not arguments.rest_api_port:
        server.wait_for_termination()
    Handler.models = models
    rest = http.server.ThreadingHTTPServer(
        ("127.0.0.1", arguments.rest_api_port), Handler
    )
    rest.serve_forever()


def tls(text):
    """The key and the certificate of an SSLConfig.

    The API package has no proto for it, so it is read as text.
    """
    found = dict(re.findall(r'(server_\w+): *"((?:[^"\\]|\\.)*)"', text))
    return tuple(
        found[name].encode().decode("unicode_escape").encode()
        for name in ("server_key", "server_cert")
    )


if __name__ == "__main__":
    main()
