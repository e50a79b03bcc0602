"""The files of tools/serving are read by the server's protos, and run."""

import contextlib
import importlib.util
import os
import pathlib
import re
import select
import shlex
import shutil
import signal
import socket
import subprocess
import sys
import time

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
from tests.support import ROOT, scripted_servers, servers, session_server

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
    parsed_flags = session_server.parser().parse_args(words)
    assert parsed_flags.model_config_file
    assert parsed_flags.max_num_load_retries == 0
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


@contextlib.contextmanager
def serving(folder, environment):
    """A serve.sh that the end of the block stops."""
    with servers.serve(folder, environment) as process:
        try:
            yield process
        finally:
            process.terminate()


@pytest.fixture(params=[servers.NAME])
def environment(tmp_path):
    """The environment of serve.sh: free ports, and the server of `servers.py`."""
    servers.write_script(tmp_path / "server", servers.COMMAND)
    return {
        "PORT": str(servers.free_port()),
        "REST_PORT": str(servers.free_port()),
        "TF_MODEL_SERVER": str(tmp_path / "server"),
        "WAIT_S": str(servers.LIMIT_S),
    }


@pytest.mark.skipif(not shutil.which("curl"), reason="serve.sh needs curl")
@pytest.mark.parametrize("by_docker", [False, True], ids=["binary", "docker"])
def test_serve_waits_until_the_model_answers_and_stops_cleanly(
    exported, environment, tmp_path, by_docker
):
    if by_docker:
        (tmp_path / "server.py").write_text(QUICK_SERVER)
        command = [sys.executable, str(tmp_path / "server.py")]
        servers.write_script(tmp_path / "server", command)
        environment = with_docker(environment, tmp_path)
    address = f"http://127.0.0.1:{environment['REST_PORT']}"
    options = {"attempts": 1}
    with (
        serving(exported.parent, environment) as process,
        servers.client(address, **options) as client,
    ):
        for line in process.stdout:
            if line.startswith("serving "):
                break
        else:
            pytest.fail(process.stderr.read())
        assert client.predict("predict_images", {"image": [[[[0, 0, 0]]]]})
        process.send_signal(signal.SIGTERM)
        assert process.wait(servers.LIMIT_S) == 0
        with pytest.raises(clients.ServerError):
            client.predict("predict_images", {"image": [[[[0, 0, 0]]]]})


# Answers as a server does whose folder has an export, without TensorFlow's import.
QUICK_SERVER = """
import http.server, json, pathlib, sys
flags = dict(word.removeprefix("--").split("=", 1) for word in sys.argv[1:])
assert list(pathlib.Path(flags["model_base_path"]).glob("*/saved_model.pb"))

class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.give({"model_version_status": [{"state": "AVAILABLE"}]})

    def do_POST(self):
        self.give({"outputs": {"scores": [[1.0]]}})

    def give(self, answer):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(json.dumps(answer).encode())

address = ("127.0.0.1", int(flags["rest_api_port"]))
http.server.HTTPServer(address, Handler).serve_forever()
"""


# Does what `docker run` does with the arguments of serve.sh: it runs the image's entry
# point, with the ports and the folder of this machine instead of the container's.
DOCKER = """
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
    """An environment without a server on the path, and with the docker above."""
    binaries = folder / "bin"
    binaries.mkdir()
    (folder / "docker.py").write_text(DOCKER)
    servers.write_script(
        binaries / "docker", [sys.executable, str(folder / "docker.py")]
    )
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
    with serving(folder, environment) as process:
        _, errors = process.communicate(timeout=servers.LIMIT_S)
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
        with servers.client(secure, ca_file=authority, attempts=1) as client:
            assert client.predict("predict_images", black)["scores"].shape[0] == 1
        with (
            servers.client(secure, attempts=1) as stranger,
            pytest.raises(clients.ServerError, match="UNAVAILABLE"),
        ):
            stranger.predict("predict_images", black)
    finally:
        running.stop()


def listening(port):
    """A socket that listens on a port, as another server does."""
    found = socket.socket()
    found.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    found.bind(("127.0.0.1", port))
    found.listen()
    return found


@pytest.mark.parametrize("name", ["PORT", "REST_PORT"])
def test_serve_refuses_a_port_that_another_server_has(exported, environment, name):
    with listening(int(environment[name])):
        code, errors = serve_and_fail(exported.parent, environment)
    assert code == 1
    assert f"port {environment[name]} is taken by another server" in errors
    another = int(environment[name]) + 100
    assert f"choose another port: {name}={another} tools/serving/serve.sh" in errors


def test_serve_does_not_take_the_answer_of_another_server_for_its_own(
    exported, environment, tmp_path
):
    """The other one gets the port between the check and the start."""
    started = tmp_path / "started"
    script = f"touch {shlex.quote(str(started))}; exec sleep 3600"
    servers.write_script(tmp_path / "server", ["sh", "-c", script])
    available = (200, {"model_version_status": [{"state": "AVAILABLE"}]})
    with serving(exported.parent, environment) as process:
        while not started.exists():
            assert process.poll() is None, process.stderr.read()
            time.sleep(0.01)
        with scripted_servers.rest(available, port=int(environment["REST_PORT"])):
            _, errors = process.communicate(timeout=servers.LIMIT_S)
        assert process.returncode == 1
    assert f"port {environment['REST_PORT']} belongs to another server" in errors


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("PORT", "eighty", "PORT must be a whole number above 0, got eighty"),
        ("REST_PORT", "0", "REST_PORT must be a whole number above 0, got 0"),
        ("WAIT_S", "-1", "WAIT_S must be a whole number above 0, got -1"),
    ],
)
def test_serve_checks_its_numbers(exported, environment, name, value, message):
    code, errors = serve_and_fail(exported.parent, environment | {name: value})
    assert (code, message in errors) == (1, True)
    same = environment | {"REST_PORT": environment["PORT"]}
    code, errors = serve_and_fail(exported.parent, same)
    assert (code, "PORT and REST_PORT must differ" in errors) == (1, True)


def test_a_killed_test_run_leaves_no_server_behind(exported, tmp_path):
    """Neither one that a thread started, which has ended, nor the one of serve.sh."""
    code = (
        "import pathlib, subprocess, sys, threading, time\n"
        "from tests.support import servers\n"
        "folder = pathlib.Path(sys.argv[1])\n"
        "script = ['sh', '-c', f'echo $$ > {folder}/pid; exec sleep 3600']\n"
        "script = servers.ending_with_the_tests(script)\n"
        "servers.write_script(folder / 'server', script)\n"
        "environment = {'PORT': str(servers.free_port())}\n"
        "environment['REST_PORT'] = str(servers.free_port())\n"
        "environment['TF_MODEL_SERVER'] = str(folder / 'server')\n"
        "started = [servers.serve(sys.argv[2], environment)]\n"
        "command = servers.ending_with_the_tests(['sleep', '3600'])\n"
        "def start():\n"
        "    started.append(subprocess.Popen(command))\n"
        "thread = threading.Thread(target=start)\n"
        "thread.start()\n"
        "thread.join()\n"
        "while not (folder / 'pid').exists() or not (folder / 'pid').read_text():\n"
        "    time.sleep(0.01)\n"
        "pid = (folder / 'pid').read_text().strip()\n"
        "print(pid, *[process.pid for process in started], flush=True)\n"
        "input()\n"
    )
    run = subprocess.Popen(
        [sys.executable, "-c", code, str(tmp_path), str(exported.parent)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        cwd=ROOT,
    )
    watched = [os.pidfd_open(int(number)) for number in run.stdout.readline().split()]
    assert len(watched) == 3
    assert select.select(watched, [], [], 0.2)[0] == []
    run.kill()
    run.wait()
    for descriptor in watched:  # until the process has ended
        assert select.select([descriptor], [], [], servers.LIMIT_S)[0]
        os.close(descriptor)
    run.stdin.close()
    run.stdout.close()


@pytest.fixture(scope="module")
def move_label():
    """The module tools/serving/move_label.py."""
    path = SERVING / "move_label.py"
    spec = importlib.util.spec_from_file_location("move_label", path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", [servers.NAME])
def test_a_label_moves_in_two_steps_and_stays_if_a_version_is_broken(
    exported, tmp_path, move_label, monkeypatch, name
):
    monkeypatch.setattr(move_label, "POLL_S", 0.05)
    for version in ("1", "2", "3"):
        shutil.copytree(exported, tmp_path / "alexnet" / version)
    shutil.rmtree(tmp_path / "alexnet" / "3" / "variables")
    config = tmp_path / "models.config"
    servers.write_config(tmp_path, stable=1, canary=1, versions=(1,))
    config.write_text("# Why.\n\n" + config.read_text())
    config.chmod(0o640)
    running = servers.Server(
        tmp_path,
        f"--model_config_file={config}",
        "--model_config_file_poll_wait_seconds=1",
        "--allow_version_labels_for_unavailable_models=true",
        "--max_num_load_retries=0",
    )

    def state(place):
        return [
            (entry["version"], entry["state"])
            for entry in move_label.status(running.rest, "alexnet", place)
        ]

    def move(label, version):
        options = {"server": running.rest, "model": "alexnet"}
        limit = {"timeout_s": servers.LIMIT_S}
        move_label.move(config, label=label, version=version, **options, **limit)

    try:
        # One edit that adds a version and moves a label to it is refused at every poll.
        before = config.read_text()
        servers.write_config(tmp_path, stable=1, canary=2, versions=(1, 2))
        running.wait_for_log("which is not currently available for inference")
        assert state("/versions/2") == []
        assert state("/labels/canary") == [("1", "AVAILABLE")]
        config.write_text(before)
        config.chmod(0o640)
        move("canary", 2)
        assert state("/labels/canary") == [("2", "AVAILABLE")]
        assert state("/labels/stable") == [("1", "AVAILABLE")]
        assert config.read_text().startswith("# Why.\n\nmodel_config_list")
        assert config.stat().st_mode & 0o777 == 0o640
        before = config.read_text()
        with pytest.raises(move_label.MoveError, match="3 cannot be loaded"):
            move("canary", 3)
        assert config.read_text() == before
        assert state("/labels/canary") == [("2", "AVAILABLE")]
        move("stable", 2)
        assert state("/labels/stable") == [("2", "AVAILABLE")]
        move("stable", 1)
        assert state("/labels/stable") == [("1", "AVAILABLE")]
    finally:
        running.stop()


def run_move_label(*arguments):
    return subprocess.run(
        [sys.executable, str(SERVING / "move_label.py"), *arguments],
        capture_output=True,
        text=True,
        check=False,
    )


def test_a_label_that_cannot_move_is_explained_and_the_config_stays(tmp_path):
    """No server answers, and configs that have no such model or no list of versions."""
    config = tmp_path / "models.config"
    shutil.copy(SERVING / "models.config", config)
    before = config.read_text()
    server = f"--server=http://127.0.0.1:{servers.free_port()}"
    done = run_move_label(f"--config={config}", "--version=2", server, "--timeout_s=0")
    assert done.returncode == 1
    assert "was not AVAILABLE at http://127.0.0.1:" in done.stderr
    assert "--model_config_file_poll_wait_seconds" in done.stderr
    assert config.read_text() == before
    for text, message in (
        (before.replace('"alexnet"', '"other"'), "no model alexnet, it has other"),
        (before.replace("specific { versions: 1 }", "latest {}"), "only the newest"),
        ("model_config_list {", "the config cannot be read: "),
    ):
        config.write_text(text)
        done = run_move_label(f"--config={config}", "--version=2", server)
        assert (done.returncode, message in done.stderr) == (1, True), done.stderr
        assert "Traceback" not in done.stderr
        assert config.read_text() == text
    done = run_move_label(f"--config={tmp_path / 'absent'}", "--version=2", server)
    assert (done.returncode, "No such file" in done.stderr) == (1, True)
