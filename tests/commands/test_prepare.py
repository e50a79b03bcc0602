"""The command `prepare` does what its options say."""

import numpy as np
import pytest
from PIL import Image

from alexnet_tf import prepare
from alexnet_tf.data import prepared_dataset, records, sources
from tests.support import case_folders, commands, images


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


def test_the_options_of_the_source_reach_it(tmp_path, monkeypatch):
    asked = {}

    def open_source(specification, **given):
        asked.update(given, specification=specification)
        raise FileNotFoundError("no archives")

    monkeypatch.setattr(sources, "open_source", open_source)
    given = {"holdout": 0.25, "manual_dir": "archives", "checksums": True}
    given["data_dir"] = str(tmp_path)
    with pytest.raises(FileNotFoundError, match="no archives"):
        commands.run_prepare(source="imagenet2012", **given)
    assert asked == {"specification": "imagenet2012", **given}


def test_the_background_reaches_the_records_and_is_compared(tmp_path):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        unseen = Image.new("RGBA", (8, 8), (9, 9, 9, 0))
        unseen.save(tmp_path / "images" / name / "0.png")
    given = {"source": f"folder:{tmp_path / 'images'}", "holdout": 0.0, "size": 8}
    given["output"] = str(tmp_path / "made")
    commands.run_prepare(**given, background="#0a141e")
    dataset = prepared_dataset.read_description(tmp_path / "made")
    assert dataset.background == (10, 20, 30)
    encoded, _ = records.open_records(dataset, "train")[0]
    assert bytes(encoded) == bytes((10, 20, 30)) * 64
    for same in ("#0A141E", None):
        commands.run_prepare(**given, background=same, verify=True)
    with pytest.raises(ValueError, match=r"background \(10, 20, 30\), not .*=white"):
        commands.run_prepare(**given, background="white", verify=True)


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        (None, [0, 0, 0, 255, 255, 255]),
        ("crop", [0, 0, 0, 255, 255, 255]),
        # 255 / 8 of the boundary is that of the other side.
        ("squash", [0, 0, 32, 223, 255, 255]),
    ],
)
def test_the_resize_rule_reaches_the_records_and_is_compared(tmp_path, rule, expected):
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        halves = np.zeros((6, 12, 3), np.uint8)
        halves[:, 6:] = 255
        Image.fromarray(halves).save(tmp_path / "images" / name / "0.png")
    given = {"source": f"folder:{tmp_path / 'images'}", "holdout": 0.0, "size": 6}
    given["output"] = str(tmp_path / "made")
    commands.run_prepare(**given, resize=rule)
    dataset = prepared_dataset.read_description(tmp_path / "made")
    own = rule or "crop"
    assert dataset.resize == own
    encoded, _ = records.open_records(dataset, "train")[0]
    pixels = np.frombuffer(bytes(encoded), np.uint8).reshape(6, 6, 3)
    assert (pixels == np.array(expected)[None, :, None]).all()
    for same in (own, None):
        commands.run_prepare(**given, resize=same, verify=True)
    (other,) = {"crop", "squash"} - {own}
    with pytest.raises(ValueError, match=f"with --resize={own}, not --resize={other}"):
        commands.run_prepare(**given, resize=other, verify=True)


def test_a_squashed_source_has_a_name_of_its_own(tmp_path):
    """So `train --dataset=SOURCE` does not take it for the one that it would prepare."""
    for name in ("a", "b"):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / name / "0.png")
    given = {"source": f"folder:{tmp_path / 'images'}", "holdout": 0.0, "size": 8}
    for rule in ("squash", None):
        commands.run_prepare(**given, data_dir=str(tmp_path / "data"), resize=rule)
    made = sorted(path.name for path in (tmp_path / "data").iterdir())
    assert made == ["images-8", "images-8-squash"]


def test_the_command_checks_its_output_before_it_opens_the_source(tmp_path):
    with pytest.raises(FileExistsError, match="remove it, or choose another --output"):
        commands.run_prepare(source="folder:/nowhere", output=str(tmp_path))


def test_the_command_verifies_existing_output_without_opening_the_source(
    small_dataset, capsys
):
    commands.run_prepare(output=str(small_dataset.path), verify=True)
    printed = capsys.readouterr().out
    assert printed.startswith(f"{small_dataset.path}: 24 train")
    assert printed.endswith("; verified\n")


def test_the_command_compares_existing_output_with_a_source_that_is_given(tmp_path):
    first, second = case_folders.two_of_one_name(tmp_path)
    data = {"data_dir": str(tmp_path / "data"), "size": 8}
    commands.run_prepare(source=f"folder:{first}", verify=True, **data)
    commands.run_prepare(source=f"folder:{first}", verify=True, **data)
    with pytest.raises(ValueError, match=f"from folder:{first}, and not .*:{second}"):
        commands.run_prepare(source=f"folder:{second}", verify=True, **data)
    with pytest.raises(FileNotFoundError, match="no such folder"):
        commands.run_prepare(source="folder:/nowhere/images", verify=True, **data)
    (first / "a" / "000.jpg").unlink()
    with pytest.raises(ValueError, match="whose images have changed since"):
        commands.run_prepare(source=f"folder:{first}", verify=True, **data)


def test_the_command_ends_with_a_summary(tmp_path, capsys):
    root = case_folders.things_beside_classes(tmp_path / "images")
    (root / "val" / "b" / "000.jpg").write_bytes(b"no image")
    (root / "val" / "b" / "001.jpg").unlink()
    commands.run_prepare(
        source=f"folder:{root}", output=str(tmp_path / "made"), size=8, max_bad_files=1
    )
    *summary, last = capsys.readouterr().out.splitlines()
    assert summary == [
        f"folder:{root} has 2 classes: a, b",
        "train: 10 images, 5 per class",
        "validation: 2 images, 0 to 2 per class; no images of: b",
        f"not used: 1 image in {root}, in no class folder: 000.jpg",
        f"not used: what lies in {root} beside the splits: bird",
        f"not used: 2 images in {root}/train, in no class folder: 000.jpg, 001.jpg",
        "left out: 1 image that cannot be read",
    ]
    assert last.startswith(
        f"{tmp_path / 'made'}: 10 train, 2 validation images of 8 x 8"
    )


def contents(folder):
    """Every path below a folder, with its size and times."""
    return {
        path: (path.stat().st_size, path.stat().st_mtime_ns)
        for path in [folder, *folder.rglob("*")]
    }


def test_a_dry_run_prints_the_summary_and_writes_nothing(tmp_path, capsys, monkeypatch):
    root = case_folders.split_lacks_a_class(tmp_path / "images")
    monkeypatch.chdir(tmp_path)
    before = contents(tmp_path)
    commands.run_prepare(source=f"folder:{root}", dry_run=True)
    assert contents(tmp_path) == before
    printed = capsys.readouterr()
    assert printed.out.splitlines() == [
        f"folder:{root} has 3 classes: a, b, c",
        "train: 15 images, 5 per class",
        "validation: 4 images, 0 to 2 per class; no images of: c",
    ]
    assert printed.err == ""


def test_a_dry_run_does_not_build_a_tfds_dataset(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="TFDS has not built garments in .*--dry_run"):
        commands.run_prepare(source="garments", dry_run=True)
    assert list(tmp_path.iterdir()) == []


def test_the_command_rejects_arguments_that_are_not_flags():
    with pytest.raises(ValueError, match="unexpected argument 'garments'"):
        prepare.main(prepare.PrepareOptions(), ["garments"])


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"size": 64}, "holds images of 32 pixels, not --size=64"),
        ({"encoding": "jpeg"}, "holds raw images, not --encoding=jpeg"),
    ],
)
def test_verifying_refuses_a_form_that_the_dataset_does_not_have(
    small_dataset, given, message
):
    with pytest.raises(ValueError, match=message):
        commands.run_prepare(output=str(small_dataset.path), verify=True, **given)


def test_workers_are_not_those_of_beam(tmp_path):
    with pytest.raises(ValueError, match="--workers are processes of this machine"):
        commands.run_prepare(
            output=str(tmp_path / "x"),
            workers=2,
            beam_pipeline_options="runner=DirectRunner",
        )
    assert not (tmp_path / "x").exists()
