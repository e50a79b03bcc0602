"""The tests of serving ask a real server if there is one, and else the stand-in."""

import concurrent.futures
import os
import subprocess
import sys
import threading

import numpy as np
import pytest
from tensorflow.python.framework import errors

from tests.support import ROOT, servers, session_server


def test_a_real_server_is_chosen_if_there_is_one(tmp_path):
    assert servers.ending_with_the_tests(servers._PROGRAM) == servers.COMMAND
    assert servers.find_server({"PATH": str(tmp_path)}) == (
        "session_loader",
        servers.STAND_IN,
    )
    real = tmp_path / "tensorflow_model_server"
    servers.write_script(real, ["true"])
    assert servers.find_server({"PATH": str(tmp_path)}) == ("model_server", [str(real)])
    named = {"PATH": str(tmp_path), "TF_MODEL_SERVER": "/other"}
    assert servers.find_server(named) == ("model_server", ["/other"])


def test_the_stand_in_rejects_flags_that_the_real_server_does_not_have(capsys):
    with pytest.raises(SystemExit):
        session_server.parser().parse_args(["--model_nam=alexnet"])
    assert "--model_nam" in capsys.readouterr().err


LIMITS = {
    "max_batch_size": 4,
    "batch_timeout_micros": 0,
    "max_enqueued_batches": 1,
    "num_batch_threads": 1,
}


def test_a_request_without_rows_waits_for_another_in_a_server_that_batches():
    batches = session_server.Batches(lambda inputs: inputs, LIMITS)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        empty = pool.submit(batches.run, {"x": np.zeros(0)})
        while not batches.waiting:
            assert not empty.done()
        assert batches.run({"x": np.ones(2)})["x"].tolist() == [1, 1]
        assert empty.result()["x"].tolist() == []


def test_one_bad_request_fails_all_that_share_its_batch():
    computing, go_on = threading.Event(), threading.Event()

    def run(inputs):
        computing.set()
        go_on.wait()
        if (inputs["x"] < 0).any():
            raise errors.InvalidArgumentError(None, None, "below 0")
        return inputs

    batches = session_server.Batches(run, LIMITS)
    with concurrent.futures.ThreadPoolExecutor() as pool:
        first = pool.submit(batches.run, {"x": np.ones(1)})
        computing.wait()  # the others gather meanwhile
        both = [pool.submit(batches.run, {"x": np.array([v])}) for v in (1.0, -1.0)]
        while batches.rows() < 2:
            pass
        with pytest.raises(errors.UnavailableError, match="queue .* is full"):
            batches.run({"x": np.ones(3)})
        go_on.set()
        assert first.result()["x"].tolist() == [1]
        for future in both:
            with pytest.raises(errors.InvalidArgumentError, match="below 0"):
                future.result()
    with pytest.raises(errors.InvalidArgumentError, match="Task size 5 is larger"):
        batches.run({"x": np.ones(5)})


def test_a_version_that_does_not_load_is_tried_again(tmp_path, capsys):
    (tmp_path / "1").mkdir()
    retries = ["--max_num_load_retries=2", "--load_retry_interval_micros=0"]
    models = session_server.Models(
        session_server.parser().parse_args(
            [f"--model_base_path={tmp_path}", "--model_name=alexnet", *retries]
        )
    )
    assert capsys.readouterr().out.count("Loading servable: alexnet 1 failed") == 3
    (state,) = models.status("alexnet")["model_version_status"]
    assert (state["version"], state["state"]) == ("1", "END")
    assert models.loaded("alexnet") == {}


@pytest.mark.long
def test_every_test_runs_against_a_stand_in_with_the_name_of_the_real_server(tmp_path):
    """This is what happens on a machine with tensorflow_model_server."""
    program = tmp_path / "tensorflow_model_server"
    servers.write_script(program, servers.STAND_IN)
    files = (
        "serving/test_client_with_server.py",
        "serving/test_predict.py",
        "tools/test_serving_tools.py",
    )
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
        + [str(ROOT / "tests" / file) for file in files],
        env={**os.environ, "TF_MODEL_SERVER": str(program)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count("[model_server") > 40
    assert "session_loader" not in done.stdout
