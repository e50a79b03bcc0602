"""A run records what its last bits depend on, and a resumed run says what changed."""

import json
import platform

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.training import environment
from tests.support import runs


def test_everything_that_bits_depend_on_is_recorded(tmp_path):
    environment.record(tmp_path, "op")
    found = json.loads((tmp_path / "environment.json").read_text())
    assert found["tensorflow"] == tf.__version__
    assert found["numpy"] == np.__version__
    assert {"alexnet_tf", "keras", "processor", "instruction set"} <= found.keys()
    assert {"cores", "intra-op threads", "inter-op threads"} <= found.keys()
    assert int(found["cores"]) >= 1
    assert tuple(found) == environment.ITEMS


@pytest.mark.parametrize("item", list(environment.current("op")))
def test_each_item_that_changed_is_named_once_with_both_values(tmp_path, caplog, item):
    environment.record(tmp_path, "op")
    path = tmp_path / "environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), item: "before"}))
    environment.record(tmp_path, "op")
    (warning,) = caplog.messages
    now = environment.current("op")[item] or "unset"
    assert warning.endswith(f"{item} was before and is {now}")
    assert "last bits may differ" in warning
    caplog.clear()
    environment.record(tmp_path, "op")
    assert caplog.messages == []


def test_the_first_start_in_a_folder_warns_of_nothing(tmp_path, caplog):
    environment.record(tmp_path, "op")
    assert caplog.messages == []


@pytest.mark.parametrize("text", ["", "[]", "null", '{"cores": 3, '])
def test_a_damaged_record_is_a_warning(tmp_path, caplog, text):
    (tmp_path / "environment.json").write_text(text)
    environment.record(tmp_path, "op")
    (warning,) = caplog.messages
    assert "environment.json is damaged" in warning
    assert json.loads((tmp_path / "environment.json").read_text())["cores"]


def test_vector_instruction_sets_are_told_from_other_flags():
    flags = [
        "sse4_1",
        "avx",
        "avx512_bf16",
        "amx_tile",
        "fma",
        "asimdhp",
        "sve2",
        "sme",
    ]
    others = ["smep", "smap", "sse", "syscall", "aes", "ssse3", "fpu"]
    assert all(map(environment._VECTORS.match, flags))
    assert not any(map(environment._VECTORS.match, others))


def test_a_resumed_run_warns(small_dataset, tmp_path, caplog):
    settings = runs.train_options_of(small_dataset, tmp_path / "run", resume=True)
    runs.record(settings)
    path = tmp_path / "run/environment.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), "numpy": "1.0"}))
    runs.record(settings)
    assert f"numpy was 1.0 and is {np.__version__}" in caplog.text


def test_a_run_that_goes_on_with_other_normalizations_or_without_the_op_library_warns(
    tmp_path, caplog, monkeypatch
):
    environment.record(tmp_path, "op")
    monkeypatch.setattr(environment.library, "error", ImportError("no library"))
    environment.record(tmp_path, "stock")
    (warning,) = caplog.messages
    assert "last bits may differ" in warning
    assert "op library was present and is absent" in warning
    assert "normalization was op and is stock" in warning


def test_where_linux_describes_no_processor_its_kind_is_recorded(monkeypatch, tmp_path):
    monkeypatch.setattr(environment, "_CPUINFO", tmp_path / "cpuinfo")
    assert environment.current("op")["processor"] == platform.machine()
