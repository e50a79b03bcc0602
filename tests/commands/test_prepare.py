"""The command `prepare` does what its options say."""

import pytest
from PIL import Image

from alexnet_tf import prepare
from alexnet_tf.data import prepared_dataset
from tests.support import commands, images


@pytest.mark.parametrize(
    ("size", "encoding", "expected"),
    [
        (8, "auto", "raw"),
        (64, "auto", "raw"),
        (65, "auto", "jpeg"),
        (8, "jpeg", "jpeg"),
    ],
)
def test_the_command_prepares_what_its_options_say(
    tmp_path, capsys, size, encoding, expected
):
    for name in ("a", "b"):
        folder = tmp_path / "images" / name
        folder.mkdir(parents=True)
        for number in range(3):
            Image.fromarray(images.random_image(number)).save(folder / f"{number}.png")
    commands.run_prepare(
        source=f"folder:{tmp_path / 'images'}",
        data_dir=str(tmp_path / "data"),
        holdout=0.0,
        size=size,
        encoding=encoding,
    )
    dataset = prepared_dataset.read_description(tmp_path / "data" / f"images-{size}")
    assert (dataset.size, dataset.encoding) == (size, expected)
    assert dataset.counts == {"train": 6}
    printed = capsys.readouterr()
    assert f"{dataset.path}: 6 train images of {size} x {size} pixels" in printed.out
    assert "images has no validation or test split" in printed.err
    assert "train with --validation=never" in printed.err


def test_the_command_checks_its_output_before_it_opens_the_source(tmp_path):
    with pytest.raises(FileExistsError, match="remove it, or choose another --output"):
        commands.run_prepare(source="folder:/nowhere", output=str(tmp_path))


def test_the_command_verifies_existing_output_without_opening_the_source(
    small_dataset, capsys
):
    commands.run_prepare(
        source="folder:/nowhere", output=str(small_dataset.path), verify=True
    )
    assert capsys.readouterr().out.endswith("; verified\n")


def test_the_command_rejects_arguments_that_are_not_flags():
    with pytest.raises(ValueError, match="unexpected argument 'garments'"):
        prepare.main(prepare.PrepareOptions(), ["garments"])
