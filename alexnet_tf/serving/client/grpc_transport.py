"""The server's PredictionService, over gRPC with or without TLS."""

import numpy as np

from alexnet_tf.runtime import errors as error_texts
from alexnet_tf.serving.client import errors
from alexnet_tf.serving.client.transport import Inputs, Scored

_RETRIED_CODES = ("UNAVAILABLE", "RESOURCE_EXHAUSTED", "ABORTED")

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

        self._channel = _open_channel(address, tls=tls, ca_file=ca_file)
        self._service = prediction_service_pb2_grpc.PredictionServiceStub(self._channel)
        self._address = address
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
        return {name: tf.make_ndarray(value) for name, value in answer.outputs.items()}

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        from tensorflow_serving.apis import classification_pb2

        request = classification_pb2.ClassificationRequest()
        self._fill_model_spec(request.model_spec, "classify")
        for image in images:
            example = request.input.example_list.examples.add()
            feature = example.features.feature["image/encoded"]
            feature.bytes_list.value.append(image)
        answer = self._call(self._service.Classify, request)
        return [
            Scored([c.label for c in row.classes], [c.score for c in row.classes])
            for row in answer.result.classifications
        ]

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

        try:
            return method(request, timeout=self._timeout_s)
        except grpc.RpcError as error:
            code = error.code().name
            if code == "DEADLINE_EXCEEDED":
                raise errors.ServerError(
                    f"{self._address}: no answer within {self._timeout_s:g} s"
                ) from error
            reason = error_texts.first_line(error.details())
            message = f"{self._address}: {code}: {reason}"
            if code == "INVALID_ARGUMENT":
                raise errors.RejectedError(message) from error
            raise errors.ServerError(message, retry=code in _RETRIED_CODES) from error


def _open_channel(address: str, *, tls: bool, ca_file: str | None):
    import grpc

    options = [
        ("grpc.max_receive_message_length", _MESSAGE_BYTES),
        ("grpc.max_send_message_length", _MESSAGE_BYTES),
    ]
    if not tls:
        return grpc.insecure_channel(address, options)
    roots = None
    if ca_file is not None:
        with open(ca_file, "rb") as file:
            roots = file.read()
    return grpc.secure_channel(address, grpc.ssl_channel_credentials(roots), options)
