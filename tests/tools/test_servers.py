"""Which server the tests of serving ask, and that the other choice would be asked too."""

import os
import pathlib
import subprocess
import sys

import pytest

from tests.support import servers, session_server


def test_a_real_server_is_taken_where_there_is_one(tmp_path):
    assert servers.find({"PATH": str(tmp_path)}) == ("session_loader", servers.STAND_IN)
    real = tmp_path / "tensorflow_model_server"
    servers.write_script(real, ["true"])
    assert servers.find({"PATH": str(tmp_path)}) == ("model_server", [str(real)])
    named = {"PATH": str(tmp_path), "TF_MODEL_SERVER": "/other"}
    assert servers.find(named) == ("model_server", ["/other"])


def test_the_stand_in_takes_no_flag_that_the_real_server_has_not(capsys):
    with pytest.raises(SystemExit):
        session_server.parser().parse_args(["--model_nam=alexnet"])
    assert "--model_nam" in capsys.readouterr().err


@pytest.mark.long
def test_the_whole_set_runs_against_a_stand_in_named_as_the_real_server(tmp_path):
    """What a machine with tensorflow_model_server does, up to the server itself."""
    program = tmp_path / "tensorflow_model_server"
    servers.write_script(program, servers.STAND_IN)
    here = pathlib.Path(__file__).parent
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-v", "-p", "no:cacheprovider"]
        + [str(here / f"test_{name}.py") for name in ("client", "serving_tools")],
        env={**os.environ, "TF_MODEL_SERVER": str(program)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:]
    assert done.stdout.count("[model_server") > 40
    assert "session_loader" not in done.stdout
