"""The tests of serving ask a real server if there is one, and else the stand-in."""

import os
import subprocess
import sys

import pytest

from tests.support import ROOT, servers, session_server


def test_a_real_server_is_chosen_if_there_is_one(tmp_path):
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
