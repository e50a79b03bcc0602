"""A client for TensorFlow Serving, over REST or gRPC.

    from alexnet_tf.serving import client

    with client.Client("http://localhost:8501") as alexnet:
        classes, scores = alexnet.classify(open("image.jpg", "rb").read())

Importing this package and speaking REST does not import TensorFlow. Speaking gRPC does,
because the protos of the serving API are built on TensorFlow's.

    client            the Client: retries, and many requests at the same time
    rest              the server's REST API
    grpc_transport    the server's PredictionService
    transport         what both of them offer
    network           proxies, and which protocol a server speaks
    inputs            looks at the images before they are sent
    answers           looks at what the server answered
    errors            how a request fails
    measure           throughput and latency of a server
"""

from alexnet_tf.serving.client.client import Client
from alexnet_tf.serving.client.errors import RejectedError, ServerError
from alexnet_tf.serving.client.measure import Measured, measure_server
from alexnet_tf.serving.client.transport import Scored

__all__ = [
    "Client",
    "Measured",
    "RejectedError",
    "Scored",
    "ServerError",
    "measure_server",
]
