"""Model versions: the numbered folders of an export."""

import pytest

from alexnet_tf.serving import model_versions


def test_the_next_version_is_one_above_the_highest(tmp_path):
    assert model_versions.next_version(tmp_path) == 1
    for name in ("2", "10", "11.tflite", "notes"):
        (tmp_path / name).mkdir()
    assert model_versions.next_version(tmp_path) == 12


def test_a_saved_model_is_found_by_its_own_folder_or_the_folder_of_versions(tmp_path):
    for name in ("2", "10", "notes"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert model_versions.find_version(tmp_path / "2", "model") == tmp_path / "2"
    assert model_versions.find_version(tmp_path, "model") == tmp_path / "10"


def test_the_error_names_the_flag_and_the_command_if_there_is_no_saved_model(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"^--check=.*alexnet_tf\.export"):
        model_versions.find_version(tmp_path, "check")


def test_a_run_is_not_taken_for_an_export_and_the_error_names_what_to_type(tmp_path):
    run = tmp_path / "my run"
    run.mkdir()
    (run / "model.json").touch()
    with pytest.raises(
        FileNotFoundError, match=rf"Export it with .*--checkpoint='{run}', and then"
    ):
        model_versions.find_version(run, "model")
    (run / "export/3").mkdir(parents=True)
    (run / "export/3/saved_model.pb").touch()
    with pytest.raises(
        FileNotFoundError, match=rf"It was exported: --model='{run / 'export'}'$"
    ):
        model_versions.find_version(run, "model")
    with pytest.raises(FileNotFoundError, match=rf"Did you mean {run}/export\?$"):
        model_versions.find_version(run / "exports", "model")


def test_an_existing_version_is_not_overwritten(tmp_path):
    version = tmp_path / "1"
    version.mkdir()
    with (
        pytest.raises(FileExistsError, match="1 already exists"),
        model_versions.new_version(version),
    ):
        pass


def test_only_names_of_digits_are_versions(tmp_path):
    """Neither leftovers of a killed export nor digits that a server does not read."""
    leftovers = (".partial-host-7-0a-9", ".partial-host-7-0a-9.tflite")
    for name in ("2", "1.keras", "\u00b2", "\u0669", "4.partial", "-5", *leftovers):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").touch()
    assert model_versions.next_version(tmp_path) == 3
    assert model_versions.find_version(tmp_path, "model") == tmp_path / "2"


def write_after_another(path, write):
    with model_versions.new_version(path) as aside:
        write(aside, "mine")
        write(path, "the other's")


def write_file(path, text):
    path.write_text(text)


def write_folder(path, text):
    path.mkdir()
    (path / "saved_model.pb").write_text(text)


@pytest.mark.parametrize("write", [write_file, write_folder])
def test_two_exports_at_once_do_not_overwrite_each_other(tmp_path, write):
    path = tmp_path / "1"
    with pytest.raises(FileExistsError, match="already exists and is not overwritten"):
        write_after_another(path, write)
    found = path / "saved_model.pb" if path.is_dir() else path
    assert found.read_text() == "the other's"
    assert list(tmp_path.iterdir()) == [path]


def write_half_and_fail(path):
    with model_versions.new_version(path) as aside:
        aside.mkdir()
        (aside / "saved_model.pb").write_text("half")
        raise ZeroDivisionError


def test_a_version_that_fails_leaves_nothing(tmp_path):
    with pytest.raises(ZeroDivisionError):
        write_half_and_fail(tmp_path / "1")
    assert list(tmp_path.iterdir()) == []
