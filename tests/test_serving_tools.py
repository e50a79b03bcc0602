"""The files beside a server: read by its own protos, and run."""

import os
import pathlib
import re
import shutil
import signal
import subprocess

import pytest
import servers
import session_server
import yaml
from google.protobuf import text_format
from tensorflow_serving.config import model_server_config_pb2

from alexnet_tf import client as clients

TOOLS = pathlib.Path(__file__).parents[1] / "tools"
SERVING = TOOLS / "serving"


def test_the_model_config_is_one():
    config = text_format.Parse(
        (SERVING / "models.config").read_text(),
        model_server_config_pb2.ModelServerConfig(),
    )
    (alexnet,) = config.model_config_list.config
    assert set(alexnet.version_labels) == {"stable", "canary"}
    loaded = set(alexnet.model_version_policy.specific.versions)
    assert set(alexnet.version_labels.values()) <= loaded
    assert alexnet.name == clients.Client("localhost:1")._transport._model


def test_batches_are_of_sizes_that_are_allowed():
    """The server's own rule: ascending, and the last is the largest batch."""
    text = (SERVING / "batching.config").read_text()
    lines = [line for line in text.splitlines() if line and line[0] != "#"]
    sizes = [int(x.split(":")[1]) for x in lines if x.startswith("allowed")]
    (largest,) = (x for x in lines if x.startswith("max_batch_size"))
    assert sizes == sorted(sizes)
    assert f"value: {sizes[-1]} " in largest


def test_the_compose_file_reads_the_files_beside_it_and_is_private():
    compose = yaml.safe_load((SERVING / "compose.yaml").read_text())
    serving = compose["services"]["serving"]
    for flag in serving["command"]:
        value = flag.split("=")[1]
        if value.startswith("/serving/"):
            assert (SERVING / pathlib.Path(value).name).is_file(), flag
    # With the variables' defaults, as the server itself would read them.
    words = [re.sub(r"\$\{\w+:-(.*?)\}", r"\1", flag) for flag in serving["command"]]
    assert session_server.parser().parse_args(words).model_config_file
    for service in compose["services"].values():
        assert all(port.startswith("127.0.0.1:") for port in service["ports"])


def serve(folder, environment):
    return subprocess.Popen(
        [str(TOOLS / "serve.sh"), str(folder)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, **environment},
    )


@pytest.fixture(params=[servers.NAME])
def environment(tmp_path):
    """Ports of its own, and the server of `servers.py`."""
    servers.write_script(tmp_path / "server", servers.COMMAND)
    return {
        "PORT": str(servers.free_port()),
        "REST_PORT": str(servers.free_port()),
        "TF_MODEL_SERVER": str(tmp_path / "server"),
    }


@pytest.mark.skipif(not shutil.which("curl"), reason="serve.sh asks by curl")
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


# What `docker run` does with the arguments that serve.sh gives: the ports and the folder
# of this machine for those in the container, and the image's own entry point.
DOCKER = """#!/usr/bin/env python3
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


def with_docker(environment, folder):
    """No server on the path, and a docker that is no more than its command line."""
    binaries = folder / "bin"
    binaries.mkdir()
    (binaries / "docker").write_text(DOCKER)
    (binaries / "docker").chmod(0o755)
    for name in ("bash", "env", "curl", "dirname", "grep", "sleep", "python3", "sh"):
        (binaries / name).symlink_to(shutil.which(name))
    server = environment["TF_MODEL_SERVER"]
    return environment | {
        "PATH": str(binaries),
        "SERVER": server,
        "TF_MODEL_SERVER": "",
        "IMAGE": "tensorflow/serving:some",
    }


def ended(folder, environment):
    process = serve(folder, environment)
    _, errors = process.communicate(timeout=60)
    return process.returncode, errors


def test_serve_says_what_to_export_where_there_is_nothing(tmp_path, environment):
    code, errors = ended(tmp_path, environment)
    assert (code, "holds no version" in errors) == (1, True)
    code, errors = ended(tmp_path / "absent", environment)
    assert (code, "is no folder" in errors) == (1, True)


def test_serve_says_what_to_install_where_there_is_no_server(exported, tmp_path):
    for name in ("bash", "env", "curl", "dirname"):
        found = shutil.which(name)
        if found:
            (tmp_path / name).symlink_to(found)
    code, errors = ended(
        exported.parent, {"PATH": str(tmp_path), "TF_MODEL_SERVER": ""}
    )
    assert code == 1
    assert "neither tensorflow_model_server nor a running docker" in errors
    assert "TF_MODEL_SERVER=PATH" in errors


def test_a_server_that_ends_at_once_is_told(exported, environment, tmp_path):
    broken = tmp_path / "broken"
    broken.write_text("#!/bin/sh\nexit 3\n")
    broken.chmod(0o755)
    code, errors = ended(
        exported.parent, {**environment, "TF_MODEL_SERVER": str(broken)}
    )
    assert (code, "ended before the model was loaded" in errors) == (1, True)


@pytest.mark.skipif(not shutil.which("openssl"), reason="makes its certificate")
@pytest.mark.parametrize("name", [servers.NAME])
def test_the_tls_files_are_what_server_and_client_read(exported, tmp_path, name):
    subprocess.run(
        [str(SERVING / "make_tls.sh"), "127.0.0.1", str(tmp_path / "tls")],
        check=True,
        capture_output=True,
    )
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
        request = {"image_bytes": [b"no picture"]}
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
