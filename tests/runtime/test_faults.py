"""After any fault a reader finds the old or the new, whole, and the next run goes on."""

import json
import subprocess
import sys

import pytest

from tests.support import ROOT, fault_scenarios, faults

# Every so manieth call meets a fault in `make test`; every call in `make test-long`.
STRIDES = {
    "text": 1,
    "in_place": 1,
    "unsynced": 1,
    "folder": 1,
    "description": 3,
    "first_checkpoint": 11,
    "checkpoint": 11,
    "same_step": 11,
    "best": 11,
    "raw_shard": 1,
    "jpeg_shard": 1,
    "preparation": 29,
    "features": 7,
    "features_in_one_file": 11,
    "predictions": 5,
    "predictions_as_arrays": 7,
}
BROKEN = ("in_place", "unsynced")
WHOLE = [name for name in STRIDES if name not in BROKEN]


def found_in(strides, tmp_path_factory):
    """What is found with faults in these scenarios, by name and mode, in one process."""
    assert strides.keys() == fault_scenarios.SCENARIOS.keys()
    module = "tests.support.fault_scenarios"
    chosen = [f"{name}={stride}" for name, stride in strides.items()]
    library = faults.build(tmp_path_factory.mktemp("library"))
    done = subprocess.run(
        [sys.executable, "-m", module, tmp_path_factory.mktemp("faults"), *chosen],
        env={**faults.preloaded(library), "TF_CPP_MIN_LOG_LEVEL": "3"},
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    print(done.stdout)
    return json.loads(done.stdout.splitlines()[-1])


@pytest.fixture(scope="module")
def found(tmp_path_factory):
    return found_in(STRIDES, tmp_path_factory)


def test_a_file_that_is_overwritten_is_found_broken(found):
    for mode in ("full", "stop", "power", "bytes"):
        assert "AssertionError" in found["in_place"][mode]


def test_a_file_that_is_renamed_unsynced_is_found_broken_after_a_power_failure(found):
    for mode in ("power", "bytes"):
        assert "AssertionError" in found["unsynced"][mode]
    assert isinstance(found["unsynced"]["stop"], int)


@pytest.mark.parametrize("name", WHOLE)
def test_a_fault_leaves_the_old_or_the_new(found, name):
    assert all(isinstance(points, int) for points in found[name].values()), found[name]
    assert all(points >= 3 for points in found[name].values())


@pytest.mark.long
def test_a_fault_at_any_call_leaves_the_old_or_the_new(tmp_path_factory):
    found = found_in(dict.fromkeys(STRIDES, 1), tmp_path_factory)
    for name in WHOLE:
        assert all(isinstance(points, int) for points in found[name].values())
        assert all(points >= 5 for points in found[name].values())
