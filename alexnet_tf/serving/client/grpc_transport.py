"""The server's PredictionService, over gRPC with or without TLS."""

import time
import urllib.parse

import numpy as np

from alexnet_tf.runtime import errors as error_texts
from alexnet_tf.serving.client import answers, errors, network
from alexnet_tf.serving.client.transport import Inputs, Scored

# What the REST API calls 400, and what it calls 429, 502, 503 and 504.
_REJECTED_CODES = ("INVALID_ARGUMENT", "FAILED_PRECONDITION", "OUT_OF_RANGE")
_RETRIED_CODES = ("RESOURCE_EXHAUSTED", "UNAVAILABLE", "DEADLINE_EXCEEDED")

# gRPC limits a message to 4 MB unless both ends set another limit, and an image may be
# larger.
_MESSAGE_BYTES = 2**31 - 1


class GrpcTransport:
    """A `Transport` over gRPC.

    Args:
        address: host:port.
        tls: whether to encrypt the connection.
        model, version, timeout_s, ca_file: the arguments of `Client`.
    """

    def __init__(
        self,
        address: str,
        *,
        tls: bool,
        model: str,
        version: str | None,
        timeout_s: float,
        ca_file: str | None,
    ):
        from tensorflow_serving.apis import prediction_service_pb2_grpc

        self.address = address
        self._scheme = "grpcs" if tls else ""
        parts = urllib.parse.urlsplit(f"//{address}")
        self._host, self._port = parts.hostname or "", parts.port or 0
        self._channel = _open_channel(address, self._host, tls=tls, ca_file=ca_file)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._model = model
        self._version = version
        self._timeout_s = timeout_s

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        import tensorflow as tf
        from tensorflow_serving.apis import predict_pb2

        request = predict_pb2.PredictRequest()
        self._fill_model_spec(request.model_spec, signature)
        for name, value in inputs.items():
            request.inputs[name].CopyFrom(tf.make_tensor_proto(value))
        answer = self._call(self._service.Predict, request)
        try:
            return {
                name: tf.make_ndarray(value) for name, value in answer.outputs.items()
            }
        except (TypeError, ValueError) as error:
            raise errors.ServerError(
                f"the answer has a damaged tensor: {error_texts.one_line(error)}"
            ) from error

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        from tensorflow_serving.apis import classification_pb2

        request = classification_pb2.ClassificationRequest()
        self._fill_model_spec(request.model_spec, "classify")
        for image in images:
            example = request.input.example_list.examples.add()
            feature = example.features.feature["image/encoded"]
            feature.bytes_list.value.append(image)
        answer = self._call(self._service.Classify, request)
        rows = answer.result.classifications
        if len(rows) != len(images):
            raise errors.ServerError(
                f"the answer has classes of {len(rows)} images, not of {len(images)}"
            )
        return [
            answers.scored(
                [c.label for c in row.classes], [c.score for c in row.classes]
            )
            for row in rows
        ]

    def through(self) -> str:
        return network.through(network.grpc_proxy(self._host), self._host)

    def close(self) -> None:
        self._channel.close()

    def _fill_model_spec(self, spec, signature: str) -> None:
        spec.name = self._model
        spec.signature_name = signature
        if self._version is None:
            pass
        elif self._version.isdigit():
            spec.version.value = int(self._version)
        else:
            spec.version_label = self._version

    def _call(self, method, request):
        import grpc

        begun = time.monotonic()
        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            code = error.code().name
            took_s = time.monotonic() - begun
            if code == "DEADLINE_EXCEEDED" and took_s > 0.9 * self._timeout_s:
                raise errors.ServerError(
                    f"no answer within {self._timeout_s:g} s"
                ) from error
            raise self._error(code, error.details() or "") from error

    def _error(self, code: str, details: str) -> errors.ServerError:
        """The error that a status of gRPC stands for."""
        message = f"{code}: {error_texts.first_line(details)}"
        if code in _REJECTED_CODES:
            return errors.RejectedError(message)
        if code == "UNAVAILABLE" and network.grpc_proxy(self._host) is None:
            other = network.wrong_protocol(self._scheme, self._host, self._port)
            if other is not None:
                return errors.ServerError(f"{code}: {other}")
        if "CERTIFICATE_VERIFY_FAILED" in details or "Peer name" in details:
            return errors.ServerError(
                f"{message}; ca_file names the certificates to trust"
            )
        if "connection refused" in details.lower():
            message = f"{code}: Connection refused: {network.NOTHING_LISTENS}"
        return errors.ServerError(message, retry=code in _RETRIED_CODES)


def _open_channel(address: str, host: str, *, tls: bool, ca_file: str | None):
    import grpc

    options = [
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ]
    if network.is_this_machine(host):
        options.append(("grpc.enable_http_proxy", 0))
    if not tls:
        return grpc.insecure_channel(address, options)
    roots = None
    if ca_file is not None:
        with open(ca_file, "rb") as file:
            roots = file.read()
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options)
