"""The files of tools/serving are read by the server's protos, and run."""

import os
import pathlib
import re
import shutil
import signal
import subprocess
import sys

import pytest
import tensorflow as tf
import yaml
from google.protobuf import (
    descriptor_pb2,
    descriptor_pool,
    message_factory,
    text_format,
    wrappers_pb2,
)
from tensorflow_serving.config import model_server_config_pb2

from alexnet_tf.serving import client as clients
from tests.support import ROOT, servers, session_server

SERVING = ROOT / "tools" / "serving"


def test_the_model_config_labels_only_versions_that_it_loads():
    config = text_format.Parse(
        (SERVING / "models.config").read_text(),
        model_server_config_pb2.ModelServerConfig(),
    )
    (alexnet,) = config.model_config_list.config
    assert set(alexnet.version_labels) == {"stable", "canary"}
    loaded = set(alexnet.model_version_policy.specific.versions)
    assert set(alexnet.version_labels.values()) <= loaded
    assert alexnet.name == clients.Client("localhost:1")._transport._model


# Names and types of the fields of those protos that the API package does not have.
INT64, BOOL, STRING = ".google.protobuf.Int64Value", bool, str
PROTOS = {
    "BatchingParameters": {
        "max_batch_size": INT64,
        "batch_timeout_micros": INT64,
        "max_enqueued_batches": INT64,
        "num_batch_threads": INT64,
        "pad_variable_length_inputs": BOOL,
    },
    "PrometheusConfig": {"enable": BOOL, "path": STRING},
    "MonitoringConfig": {"prometheus_config": ".PrometheusConfig"},
    "SSLConfig": {"server_key": STRING, "server_cert": STRING, "client_verify": BOOL},
}


def parsed(name, text):
    """Parses `text` as the server's message `name`."""
    file = descriptor_pb2.FileDescriptorProto(name="server", syntax="proto3")
    file.dependency.append(wrappers_pb2.DESCRIPTOR.name)
    kinds = descriptor_pb2.FieldDescriptorProto
    for message, fields in PROTOS.items():
        described = file.message_type.add(name=message)
        for number, (field, kind) in enumerate(fields.items(), 1):
            added = described.field.add(name=field, number=number, label=1)
            if isinstance(kind, str):
                added.type, added.type_name = kinds.TYPE_MESSAGE, kind
            else:
                added.type = kinds.TYPE_BOOL if kind is BOOL else kinds.TYPE_STRING
    pool = descriptor_pool.DescriptorPool()
    pool.AddSerializedFile(wrappers_pb2.DESCRIPTOR.serialized_pb)
    pool.Add(file)
    found = message_factory.GetMessageClass(pool.FindMessageTypeByName(name))()
    return text_format.Parse(text, found)


def test_the_server_can_parse_the_batching_and_monitoring_configs():
    batching = parsed("BatchingParameters", (SERVING / "batching.config").read_text())
    waiting = batching.max_enqueued_batches.value
    assert (batching.max_batch_size.value, waiting) == (32, 8)
    monitoring = parsed("MonitoringConfig", (SERVING / "monitoring.config").read_text())
    path = monitoring.prometheus_config.path
    prometheus = yaml.safe_load((SERVING / "prometheus.yml").read_text())
    assert [job["metrics_path"] for job in prometheus["scrape_configs"]] == [path]


def test_the_compose_file_mounts_the_configs_and_binds_ports_to_localhost():
    compose = yaml.safe_load((SERVING / "compose.yaml").read_text())
    serving = compose["services"]["serving"]
    for flag in serving["command"]:
        value = flag.split("=")[1]
        if value.startswith("/serving/"):
            assert (SERVING / pathlib.Path(value).name).is_file(), flag
    # The server would read them with the variables' defaults.
    words = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", flag) for flag in serving["command"]]
    assert session_server.parser().parse_args(words).model_config_file
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def test_the_docker_image_has_the_version_of_this_tensorflow():
    images = {
        re.search(r"IMAGE:-(\S+)}", (SERVING / name).read_text())[1]
        for name in ("serve.sh", "compose.yaml")
    }
    (image,) = images
    minor = tf.__version__.rpartition(".")[0]
    assert image.startswith(f"tensorflow/serving:{minor}.")


def serve(folder, environment):
    return subprocess.Popen(
        [str(SERVING / "serve.sh"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture(params=[servers.NAME])
def environment(tmp_path):
    """The environment of serve.sh: free ports, and the server of `servers.py`."""
    servers.write_script(tmp_path / "server", servers.COMMAND)
    return {
        "PORT": str(servers.free_port()),
        "REST_PORT": str(servers.free_port()),
        "TF_MODEL_SERVER": str(tmp_path / "server"),
    }


@pytest.mark.skipif(not shutil.which("curl"), reason="serve.sh needs curl")
@pytest.mark.parametrize("by_docker", [False, True], ids=["binary", "docker"])
def test_serve_waits_until_the_model_answers_and_stops_cleanly(
    exported, environment, tmp_path, by_docker
):
    if by_docker:
        environment = with_docker(environment, tmp_path)
    process = serve(exported.parent, environment)
    for line in process.stdout:
        if line.startswith("serving "):
            break
    else:
        pytest.fail(process.stderr.read())
    address = f"http://127.0.0.1:{environment['REST_PORT']}"
    with clients.Client(address, attempts=1) as client:
        assert client.predict("predict_images", {"image": [[[[0, 0, 0]]]]})
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
        with pytest.raises(clients.ServerError):
            client.predict("predict_images", {"image": [[[[0, 0, 0]]]]})
    process.stdout.close()
    process.stderr.close()


# Does what `docker run` does with the arguments of serve.sh: it runs the image's entry
# point, with the ports and the folder of this machine instead of the container's.
DOCKER = (
    f"#!{sys.executable}"
    + """
import os, re, sys
words = sys.argv[1:]
if words == ["info"]:
    sys.exit()
assert words[:3] == ["run", "--rm", "--init"], words
assert "MODEL_NAME=alexnet" in words, words
ports = dict(re.findall(r"127.0.0.1:([0-9]+):(850[01])", " ".join(words)))
inside = {theirs: ours for ours, theirs in ports.items()}
(folder,) = re.findall(r"(\\S+):/models/alexnet:ro", " ".join(words))
flags = words[words.index(os.environ["IMAGE"]) + 1:]
os.execv(os.environ["SERVER"], [os.environ["SERVER"], "--port=" + inside["8500"],
    "--rest_api_port=" + inside["8501"], "--model_name=alexnet",
    "--model_base_path=" + folder, *flags])
"""
)


def with_docker(environment, folder):
    """An environment without a server on the path, and with the docker above."""
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "docker").write_text(DOCKER)
    (binaries / "docker").chmod(0o755)
    for name in ("bash", "env", "curl", "dirname", "grep", "sleep", "sh"):
        (binaries / name).symlink_to(shutil.which(name))
    server = environment["TF_MODEL_SERVER"]
    return environment | {
        "PATH": str(binaries),
        "SERVER": server,
        "TF_MODEL_SERVER": "",
        "IMAGE": "tensorflow/serving:some",
    }


def serve_and_fail(folder, environment):
    """The exit status and the standard error of a serve.sh that cannot serve."""
    process = serve(folder, environment)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_serve_explains_how_to_export_if_there_is_no_export(tmp_path, environment):
    code, errors = serve_and_fail(tmp_path, environment)
    assert (code, "contains no model versions" in errors) == (1, True)
    code, errors = serve_and_fail(tmp_path / "absent", environment)
    assert (code, "is not a folder" in errors) == (1, True)


def test_serve_explains_what_to_install_if_there_is_no_server(exported, tmp_path):
    for name in ("bash", "env", "curl", "dirname"):
        found = shutil.which(name)
        if found:
            (tmp_path / name).symlink_to(found)
    code, errors = serve_and_fail(
        exported.parent, {"PATH": str(tmp_path), "TF_MODEL_SERVER": ""}
    )
    assert code == 1
    assert "neither tensorflow_model_server nor a running docker" in errors
    assert "TF_MODEL_SERVER=PATH" in errors


def test_serve_reports_a_server_that_ends_before_the_model_answers(
    exported, environment, tmp_path
):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    code, errors = serve_and_fail(
        exported.parent, {**environment, "TF_MODEL_SERVER": str(broken)}
    )
    assert (code, "ended before the model was loaded" in errors) == (1, True)


@pytest.mark.skipif(not shutil.which("openssl"), reason="make_tls.sh needs openssl")
@pytest.mark.parametrize("name", [servers.NAME])
def test_server_and_client_can_read_the_tls_files(exported, tmp_path, name):
    subprocess.run(
        [str(SERVING / "make_tls.sh"), "127.0.0.1", str(tmp_path / "tls")],
        check=True,
        capture_output=True,
    )
    config = parsed("SSLConfig", (tmp_path / "tls" / "ssl.config").read_text())
    assert config.server_cert == (tmp_path / "tls" / "ca.pem").read_text()
    shutil.copytree(exported, tmp_path / "alexnet" / "1")
    running = servers.Server(
        tmp_path,
        f"--model_base_path={tmp_path / 'alexnet'}",
        "--model_name=alexnet",
        f"--ssl_config_file={tmp_path / 'tls' / 'ssl.config'}",
    )
    try:
        secure = f"grpcs://{running.grpc}"
        black = {"image": [[[[0, 0, 0]]]]}
        authority = str(tmp_path / "tls" / "ca.pem")
        request = {"image_bytes": [b"not an image"]}
        with (
            clients.Client(secure, ca_file=authority, attempts=1) as client,
            pytest.raises(clients.RejectedError, match="not a JPEG"),
        ):
            client.predict("serving_default", request)
        with (
            clients.Client(secure, attempts=1) as stranger,
            pytest.raises(clients.ServerError, match="UNAVAILABLE"),
        ):
            stranger.predict("predict_images", black)
    finally:
        running.stop()
