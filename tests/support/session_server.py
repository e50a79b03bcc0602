#!/usr/bin/env python
"""A stand-in for tensorflow_model_server, for machines that do not have it.

It accepts the server's flags and serves the gRPC PredictionService of
tensorflow-serving-api and the JSON of the REST API. It runs exports through
TensorFlow's C++ session loader, replays their warm-up requests first, and follows model
versions and labels. It has no monitoring, and does not let Grappler optimize graphs,
which is most of the time that loading one takes; the check of an export does. It does
not load this package's operations, but most tests fork it from a process that has:
`test_preflight.py` tests that exports need none. Where the real server's behaviour
surprises, it behaves in the same way:

- Labels are checked before versions are added, so one edit of the config that adds a
  version and moves a label to it is refused, at every poll.
- A version that does not load is tried again `--max_num_load_retries` times, and no
  other version is loaded meanwhile.
- With `--enable_batching`, one bad request fails all that share its batch, a request
  above the limit is rejected, and one without rows waits for another request.
- Numbers that a JSON request has for an integer input are wrapped in silence.

To start it by hand:

    TF_MODEL_SERVER=tests/support/session_server.py tools/serving/serve.sh runs/demo/export
"""

import argparse
import base64
import collections
import concurrent.futures
import http.server
import itertools
import json
import pathlib
import re
import sys
import threading
import time

import grpc
import numpy as np
import tensorflow as tf
from google.protobuf import text_format
from tensorflow.python.framework import errors
from tensorflow.python.saved_model import loader_impl
from tensorflow_serving.apis import (
    classification_pb2,
    predict_pb2,
    prediction_log_pb2,
    prediction_service_pb2_grpc,
)
from tensorflow_serving.config import model_server_config_pb2

STATUS = {
    errors.InvalidArgumentError: (grpc.StatusCode.INVALID_ARGUMENT, 400),
    errors.FailedPreconditionError: (grpc.StatusCode.FAILED_PRECONDITION, 400),
    errors.NotFoundError: (grpc.StatusCode.NOT_FOUND, 404),
    errors.UnavailableError: (grpc.StatusCode.UNAVAILABLE, 503),
    errors.ResourceExhaustedError: (grpc.StatusCode.RESOURCE_EXHAUSTED, 429),
    errors.OpError: (grpc.StatusCode.INTERNAL, 500),
}


def status_of(error):
    """The gRPC code and the HTTP status of an error of TensorFlow's."""
    return next(status for kind, status in STATUS.items() if isinstance(error, kind))


class Batches:
    """Merges the requests of one signature into batches, as BatchingSession does.

    `run` is called with the arrays of a whole batch, by name.
    """

    def __init__(self, run, limits):
        self.call = run
        self.limits = limits
        self.waiting = collections.deque()  # (since when, rows, inputs, future)
        self.changed = threading.Condition()
        for _ in range(limits["num_batch_threads"]):
            threading.Thread(target=self.work, daemon=True).start()

    def run(self, inputs):
        rows = max(len(value) for value in inputs.values())
        if rows > self.limits["max_batch_size"]:
            raise errors.InvalidArgumentError(
                None,
                None,
                f"Task size {rows} is larger than maximum input batch size "
                f"{self.limits['max_batch_size']}",
            )
        future = concurrent.futures.Future()
        with self.changed:
            most = self.limits["max_enqueued_batches"] * self.limits["max_batch_size"]
            if self.rows() + rows > most:
                raise errors.UnavailableError(
                    None,
                    None,
                    "The batch scheduling queue to which this task was submitted is full",
                )
            self.waiting.append((time.monotonic(), rows, inputs, future))
            self.changed.notify()
        return future.result()

    def rows(self):
        return sum(rows for _, rows, _, _ in self.waiting)

    def due_in_s(self):
        """When the next batch is due. One that has no rows is never due."""
        if not self.rows():
            return None
        if self.rows() >= self.limits["max_batch_size"]:
            return 0
        age = time.monotonic() - self.waiting[0][0]
        return max(0, self.limits["batch_timeout_micros"] / 1e6 - age)

    def work(self):
        while True:
            with self.changed:
                while self.due_in_s() != 0:
                    self.changed.wait(self.due_in_s())
                batch, rows = [], 0
                while (
                    self.waiting
                    and rows + self.waiting[0][1] <= self.limits["max_batch_size"]
                ):
                    rows += self.waiting[0][1]
                    batch.append(self.waiting.popleft())
            self.answer(batch)

    def answer(self, batch):
        futures = [future for *_, future in batch]
        try:
            requests = [inputs for _, _, inputs, _ in batch]
            if len({str({k: v.shape[1:] for k, v in r.items()}) for r in requests}) > 1:
                raise errors.FailedPreconditionError(
                    None,
                    None,
                    "Tensors from different tasks have different shapes and padding is "
                    "turned off",
                )
            merged = {k: np.concatenate([r[k] for r in requests]) for k in requests[0]}
            outputs = self.call(merged)
        except Exception as error:
            for future in futures:
                future.set_exception(error)
            return
        ends = np.cumsum([rows for _, rows, _, _ in batch])[:-1]
        parts = {key: np.split(value, ends) for key, value in outputs.items()}
        for number, future in enumerate(futures):
            future.set_result({key: part[number] for key, part in parts.items()})


def batching_limits(arguments):
    """The limits of `--batching_parameters_file`, or None without batching."""
    if arguments.enable_batching != "true":
        return None
    text = pathlib.Path(arguments.batching_parameters_file).read_text()
    return {k: int(v) for k, v in re.findall(r"(\w+) *{ *value: *(\d+) *}", text)}


AS_IT_IS = tf.compat.v1.ConfigProto()
AS_IT_IS.graph_options.rewrite_options.disable_meta_optimizer = True


def without_grappler(graph):
    """Has the calls of a graph's functions instantiate them as they are."""
    bodies = [function.node_def for function in graph.library.function]
    for node in itertools.chain(graph.node, *bodies):
        if "config_proto" in node.attr:
            node.attr["config_proto"].s = AS_IT_IS.SerializeToString()


class Version:
    """One loaded SavedModel, which has answered its warm-up requests."""

    def __init__(self, path, limits=None):
        loader = loader_impl.SavedModelLoader(str(path))
        served = loader.get_meta_graph_def_from_tags(["serve"])
        without_grappler(served.graph_def)
        self.session = tf.compat.v1.Session(graph=tf.Graph(), config=AS_IT_IS)
        loader.load(self.session, ["serve"])
        self.signatures = served.signature_def
        self.batches = {}  # warm-up requests are not batched
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
        self.batches = {
            name: Batches(lambda inputs, name=name: self.compute(name, inputs), limits)
            for name in (self.signatures if limits else ())
        }

    def run(self, name, inputs):
        if name not in self.signatures:
            raise errors.InvalidArgumentError(
                None, None, f'Serving signature key "{name}" not found.'
            )
        signature = self.signatures[name]
        if wrong := set(inputs) ^ set(signature.inputs):
            raise errors.InvalidArgumentError(
                None, None, f"input tensor alias not found in signature: {min(wrong)}"
            )
        feed = {}
        for key, value in inputs.items():
            dtype = tf.as_dtype(signature.inputs[key].dtype)
            if tf.as_dtype(value.dtype) != dtype and value.dtype.kind not in "OS":
                raise errors.InvalidArgumentError(
                    None, None, f"{key} must be {dtype.name}, got {value.dtype}"
                )
            feed[key] = value
        if name in self.batches:
            return self.batches[name].run(feed)
        return self.compute(name, feed)

    def compute(self, name, inputs):
        """The outputs of a signature for arrays of the right names and types."""
        signature = self.signatures[name]
        feed = {signature.inputs[key].name: value for key, value in inputs.items()}
        fetch = {key: value.name for key, value in signature.outputs.items()}
        return self.session.run(fetch, feed)

    def classify(self, name, examples):
        rows = [e.SerializeToString() for e in examples.example_list.examples]
        return self.run(name or "classify", {"inputs": np.array(rows, dtype=object)})


class Models:
    """The models of a config. A thread calls `follow`, to keep up with its changes.

    `versions` has, by model and number, a loaded `Version` or the error of one that
    does not load. Its values are replaced and never changed, because requests read them
    in other threads.
    """

    def __init__(self, arguments):
        self.arguments = arguments
        self.limits = batching_limits(arguments)
        self.configs = {}
        self.versions = {}
        self.read_config()
        self.update()

    def read_config(self):
        """Takes the config over, or raises an error and leaves everything as it was."""
        config = model_server_config_pb2.ModelServerConfig()
        if self.arguments.model_config_file:
            text = pathlib.Path(self.arguments.model_config_file).read_text()
            text_format.Parse(text, config)
        else:
            config.model_config_list.config.add(
                name=self.arguments.model_name,
                base_path=self.arguments.model_base_path,
            )
        configs = {c.name: c for c in config.model_config_list.config}
        for name, config in configs.items():
            for label, version in config.version_labels.items():
                self.check_label(name, label, version)
        self.configs = configs

    def check_label(self, name, label, version):
        """Checks that a label may point to a version, before any version is added."""
        if self.arguments.allow_version_labels_for_unavailable_models == "true":
            known = self.configs[name].version_labels if name in self.configs else {}
            if known.get(label, version) == version:  # a label that does not move
                return
        if version not in self.loaded(name):
            raise errors.FailedPreconditionError(
                None,
                None,
                f"Request to assign label to version {version} of model {name}, which "
                "is not currently available for inference",
            )

    def loaded(self, name):
        """The versions of a model that answer, by number."""
        return {
            number: version
            for number, version in self.versions.get(name, {}).items()
            if isinstance(version, Version)
        }

    def follow(self):
        """Reads the config and the folders again and again."""
        while True:
            time.sleep(self.arguments.file_system_poll_wait_seconds)
            if self.arguments.model_config_file_poll_wait_seconds:
                try:
                    self.read_config()
                except Exception as error:  # a broken file, or a label that is refused
                    print(
                        "PollFilesystemAndReloadConfig failed to ReloadConfig: "
                        f"{getattr(error, 'message', error)}",
                        flush=True,
                    )
            self.update()

    def update(self):
        """Loads what is wanted, and only then unloads what is not."""
        for name, config in self.configs.items():
            folder = pathlib.Path(config.base_path)
            found = {
                int(child.name)
                for child in folder.glob("*")
                if re.fullmatch("[0-9]+", child.name)
            }
            specific = set(config.model_version_policy.specific.versions)
            wanted = found & specific if specific else set(sorted(found)[-1:])
            for version in sorted(wanted - set(self.versions.get(name, {}))):
                loaded = self.load(name, folder / str(version))
                self.versions[name] = self.versions.get(name, {}) | {version: loaded}
            if wanted & set(self.loaded(name)):
                kept = self.versions[name]
                self.versions[name] = {k: v for k, v in kept.items() if k in wanted}

    def load(self, name, path):
        """A loaded version, or its last error after all retries."""
        for attempt in range(self.arguments.max_num_load_retries + 1):
            if attempt:
                time.sleep(self.arguments.load_retry_interval_micros / 1e6)
            try:
                return Version(path, self.limits)
            except Exception as error:  # of any type: the files may be damaged
                last = str(error)
                print(
                    f"Loading servable: {name} {path.name} failed: {last}", flush=True
                )
        return last

    def find_number(self, name, version=None, label=None):
        """The number of the version that a request names."""
        if name not in self.configs:
            raise errors.NotFoundError(
                None, None, f"Could not find any versions of model {name}"
            )
        if label:
            labels = self.configs[name].version_labels
            if label not in labels:
                raise errors.InvalidArgumentError(
                    None, None, f"Unrecognized servable version label: {label}"
                )
            return labels[label]
        if version is None and not self.loaded(name):
            raise errors.UnavailableError(None, None, f"{name} is not loaded")
        return max(self.loaded(name)) if version is None else version

    def find(self, name, version=None, label=None):
        """The loaded version that a request names."""
        version = self.find_number(name, version, label)
        loaded = self.loaded(name)
        if version not in loaded:
            raise errors.NotFoundError(
                None, None, f"Servable not found for request: {name}/{version}"
            )
        return loaded[version]

    def find_by_spec(self, spec):
        """The version that a request names in its model_spec."""
        version = spec.version.value if spec.HasField("version") else None
        return self.find(spec.name, version, spec.version_label)

    def status(self, name, version=None, label=None):
        """The states of one version, or of all, as the REST API gives them."""
        known = self.versions.get(name, {})
        if version is not None or label:
            number = self.find_number(name, version, label)
            known = {k: v for k, v in known.items() if k == number}
            if not known:
                raise errors.NotFoundError(
                    None, None, f"Could not find version {number} of model {name}"
                )
        elif not known:
            raise errors.NotFoundError(
                None, None, f"Could not find any versions of model {name}"
            )
        return {
            "model_version_status": [
                {
                    "version": str(number),
                    "state": "AVAILABLE" if isinstance(found, Version) else "END",
                    "status": {"error_code": "OK", "error_message": ""}
                    if isinstance(found, Version)
                    else {"error_code": "UNKNOWN", "error_message": found},
                }
                for number, found in sorted(known.items(), reverse=True)
            ]
        }


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
    except errors.OpError as error:
        context.abort(status_of(error)[0], error.message)


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
        except errors.OpError as error:
            code, body = status_of(error)[1], {"error": error.message}
        data = json.dumps(body).encode()
        self.send_response(code)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def status(self, name, version, label, method):
        return self.models.status(name, version, label)

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
        raise errors.InvalidArgumentError(
            None, None, f'Serving signature key "{signature}" not found.'
        )
    wanted = loaded.signatures[signature].inputs
    inputs = {}
    for key, value in body["inputs"].items():
        kind = tf.as_dtype(wanted[key].dtype) if key in wanted else tf.string
        inputs[key] = array_of(decoded(value), kind)
    outputs = {
        key: [
            [c.decode() if isinstance(c, bytes) else float(c) for c in row]
            for row in value
        ]
        for key, value in loaded.run(signature, inputs).items()
    }
    return {"outputs": outputs if len(outputs) > 1 else next(iter(outputs.values()))}


def array_of(value, kind):
    """The array of a JSON request. Integers are wrapped in silence, as the server does."""
    try:
        if kind == tf.string:
            return np.array(value, object)
        if not kind.is_integer:
            return np.array(value, kind.as_numpy_dtype)
        numbers = np.array(value)
        if numbers.dtype.kind not in "iu" and numbers.size:
            raise ValueError(f"JSON Value: is not an {kind.name}")
        return numbers.astype(kind.as_numpy_dtype)
    except (ValueError, OverflowError) as error:
        raise errors.InvalidArgumentError(None, None, str(error)) from None


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
    found.add_argument("--max_num_load_retries", type=int, default=5)
    found.add_argument("--load_retry_interval_micros", type=int, default=60_000_000)
    found.add_argument("--batching_parameters_file", default="")
    # This is accepted, and has no effect.
    found.add_argument("--monitoring_config_file", default="")
    for name in ("enable_batching", "allow_version_labels_for_unavailable_models"):
        found.add_argument(f"--{name}", nargs="?", const="true", default="false")
    return found


def main():
    arguments = parser().parse_args()
    try:
        models = Models(arguments)  # before the ports open, as in the real server
    except errors.OpError as error:
        sys.exit(f"Failed to start server. Error: {error.message}")
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
