"""Pictures of every kind and folders of every layout, made here with Pillow."""

import concurrent.futures
import gzip
import io
import os
import pathlib
import pickle
import shutil
import threading
import warnings

import numpy as np
import pytest
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image

from alexnet_tf.data import image_decoding, records, sources
from alexnet_tf.runtime import lock

RED, GREEN, BLUE = (230, 20, 30), (20, 200, 40), (10, 30, 220)


def quarters(mode="RGB", size=16):
    """Red, green over blue, white: no two corners alike, so that turning shows."""
    pixels = np.empty((size, size, 3), np.uint8)
    half = size // 2
    pixels[:half, :half], pixels[:half, half:] = RED, GREEN
    pixels[half:, :half], pixels[half:, half:] = BLUE, (255, 255, 255)
    return Image.fromarray(pixels).convert(mode)


def encoded(image, kind, **options):
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def decoded(image, kind, **options):
    found = image_decoding.decode(encoded(image, kind, **options), "picture")
    assert found.dtype == np.uint8
    return found


def assert_close(found, expected, levels):
    assert found.shape == expected.shape
    assert np.abs(found.astype(int) - expected).max() <= levels


PIXELS = np.asarray(quarters())


@pytest.mark.parametrize("kind", ["PNG", "BMP"])
def test_lossless_kinds_are_read_exactly(kind):
    np.testing.assert_array_equal(decoded(quarters(), kind), PIXELS)


def test_webp_is_read_exactly_where_it_is_lossless():
    np.testing.assert_array_equal(decoded(quarters(), "WEBP", lossless=True), PIXELS)


@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_is_read(progressive):
    options = {"quality": 95, "subsampling": 0, "progressive": progressive}
    assert_close(decoded(quarters(), "JPEG", **options), PIXELS, 6)


@pytest.mark.parametrize("kind", ["GIF", "PNG", "BMP"])
def test_a_palette_becomes_its_colours(kind):
    image = quarters().quantize(8)
    assert image.mode == "P"
    assert_close(decoded(image, kind), PIXELS, 3)


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "BMP", "GIF"])
def test_grey_becomes_three_equal_channels(kind):
    grey = np.asarray(quarters("L"))
    expected = np.repeat(grey[..., None], 3, axis=-1)
    assert_close(decoded(quarters("L"), kind), expected, 4)


def test_black_and_white_becomes_rgb():
    image = Image.fromarray(np.asarray(quarters("L")) > 100)
    assert image.mode == "1"
    assert set(np.unique(decoded(image, "PNG"))) == {0, 255}


def test_cmyk_becomes_rgb():
    # Ink by ink: none is white, cyan and yellow make green.
    inks = np.zeros((16, 16, 4), np.uint8)
    inks[:8, :, 0] = inks[:8, :, 2] = 255
    image = Image.fromarray(inks, "CMYK")
    expected = np.full((16, 16, 3), 255)
    expected[:8] = (0, 255, 0)
    assert_close(decoded(image, "JPEG", quality=100), expected, 4)


def without_adobe(data):
    """A JPEG without the segment that marks it as Adobe's."""
    at = data.index(b"\xff\xee\x00\x0eAdobe")
    return data[:at] + data[at + 16 :]


@pytest.mark.parametrize("adobe", [True, False])
@pytest.mark.parametrize("progressive", [False, True])
def test_cmyk_is_inverted_where_adobe_did_so_and_only_there(adobe, progressive):
    # Inks as of a photograph: all four, at different strengths.
    inks = np.full((16, 16, 4), (200, 100, 30, 60), np.uint8)
    expected = np.full((16, 16, 3), (42, 118, 172))  # (255 - ink) * (255 - black) / 255
    image = Image.fromarray(inks, "CMYK")
    options = {"quality": 100, "progressive": progressive}
    if adobe:  # Pillow writes as Adobe does: the inks in negative, and a mark
        data = encoded(image, "JPEG", **options)
        assert b"Adobe" in data
    else:
        inverted = Image.fromarray(255 - inks, "CMYK")
        data = without_adobe(encoded(inverted, "JPEG", **options))
        assert b"Adobe" not in data
    assert_close(image_decoding.decode(data, "picture"), expected, 4)
    # TensorFlow's decoder reads the mark too: its pixels are the same but for rounding.
    theirs = tf.io.decode_jpeg(data, channels=3, dct_method="INTEGER_ACCURATE")
    assert_close(theirs.numpy(), expected, 4)


def test_sixteen_bit_colour_keeps_its_upper_byte():
    levels = np.random.default_rng(0).integers(0, 65536, (16, 16, 3)).astype(np.uint16)
    data = tf.io.encode_png(levels).numpy()
    np.testing.assert_array_equal(image_decoding.decode(data, "picture"), levels >> 8)


def test_a_picture_is_what_it_is_whatever_its_name(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / "train" / name, 0)
    for kind, name in (("PNG", "a/0.JPEG"), ("GIF", "a/1.jpg"), ("JPEG", "b/2.png")):
        (tmp_path / "train" / name).write_bytes(encoded(quarters(), kind))
    for example in open_folder(tmp_path).splits["train"]:
        assert example.read().shape == (16, 16, 3)


def test_a_gzipped_picture_is_unpacked():
    data = gzip.compress(encoded(quarters(), "PNG"))
    np.testing.assert_array_equal(image_decoding.decode(data, "picture"), PIXELS)
    with pytest.raises(
        image_decoding.BadImageError, match="^cut: not a readable image"
    ):
        image_decoding.decode(data[: len(data) // 2], "cut")


def test_what_unpacks_without_end_is_cut_off(monkeypatch):
    monkeypatch.setattr(image_decoding, "_MAX_UNPACKED", 1000)
    with pytest.raises(
        image_decoding.BadImageError, match="^bomb: not a readable image"
    ):
        image_decoding.decode(gzip.compress(bytes(10_000_000)), "bomb")


def test_sixteen_bit_grey_keeps_its_upper_byte():
    levels = np.arange(0, 65536, 256, dtype=np.uint16).reshape(16, 16) + 255
    found = decoded(Image.fromarray(levels), "PNG")
    expected = np.repeat((levels >> 8)[..., None], 3, axis=-1)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("mode", ["RGBA", "LA"])
def test_an_alpha_channel_is_dropped(mode):
    image = quarters().convert("L" if mode == "LA" else "RGB").convert(mode)
    expected = np.asarray(image.convert("RGB"))
    image.putalpha(0)
    np.testing.assert_array_equal(decoded(image, "PNG"), expected)


def test_transparency_of_a_palette_is_dropped():
    image = quarters().quantize(8)
    expected = np.asarray(image.convert("RGB"))
    transparency = bytes([0] * 8)
    found = decoded(image, "PNG", transparency=transparency)
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize(
    ("orientation", "turn"),
    [
        (1, lambda x: x),
        (2, lambda x: x[:, ::-1]),
        (3, lambda x: x[::-1, ::-1]),
        (4, lambda x: x[::-1]),
        (5, lambda x: x.swapaxes(0, 1)),
        (6, lambda x: np.rot90(x, -1)),
        (7, lambda x: x.swapaxes(0, 1)[::-1, ::-1]),
        (8, lambda x: np.rot90(x)),
    ],
)
def test_pictures_are_turned_upright_by_their_exif(orientation, turn):
    image = quarters().crop((0, 0, 16, 12))
    exif = Image.Exif()
    exif[0x0112] = orientation
    expected = turn(np.asarray(image))
    np.testing.assert_array_equal(decoded(image, "PNG", exif=exif), expected)
    found = decoded(image, "JPEG", exif=exif, quality=95, subsampling=0)
    assert_close(found, expected, 12)


def test_junk_in_the_exif_does_not_spoil_the_picture():
    found = decoded(quarters(), "JPEG", exif=b"Exif\x00\x00II*\x00\xff\xff\xff\x7f")
    assert found.shape == PIXELS.shape


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG"])
def test_an_animation_is_its_first_frame(kind):
    frames = [Image.new("RGB", (16, 16), colour) for colour in (RED, BLUE)]
    found = decoded(frames[0], kind, save_all=True, append_images=frames[1:])
    assert_close(found, np.full((16, 16, 3), RED), 4)


NOISE = Image.fromarray(
    np.random.default_rng(0).integers(0, 256, (64, 64, 3)).astype(np.uint8)
)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "GIF", "BMP", "WEBP"])
@pytest.mark.parametrize("part", [0.02, 0.5, 0.9])
def test_a_cut_off_file_is_named(kind, part):
    whole = encoded(NOISE, kind)
    cut = whole[: int(part * len(whole))]
    with pytest.raises(
        image_decoding.BadImageError, match=r"^dir/cut\.x: not a readable"
    ):
        image_decoding.decode(cut, "dir/cut.x")


@pytest.mark.parametrize("data", [b"", b"<html>404</html>", b"\xff\xd8\xff", b"GIF89a"])
def test_what_is_no_picture_is_named(data):
    with pytest.raises(
        image_decoding.BadImageError, match="^page: not a readable image"
    ):
        image_decoding.decode(data, "page")


def huge_bitmap(width, height):
    """A whole header and no pixels, which nobody should make room for."""
    header = bytearray(encoded(Image.new("RGB", (1, 1)), "BMP"))
    header[18:26] = width.to_bytes(4, "little") + height.to_bytes(4, "little")
    return bytes(header)


def test_a_huge_picture_is_refused_by_its_header():
    with pytest.raises(
        image_decoding.BadImageError, match="bomb: 20000 x 5001 is more than"
    ):
        image_decoding.decode(huge_bitmap(20_000, 5_001), "bomb")


def test_a_monstrous_picture_is_refused_too():
    with pytest.raises(image_decoding.BadImageError, match="^bomb: "):
        image_decoding.decode(huge_bitmap(60_000, 60_000), "bomb")


@pytest.mark.parametrize("size", [(1, 100_000_000), (100_000_000, 1), (9, 901)])
def test_a_picture_like_a_line_is_refused_by_its_header(size):
    # Scaled to 256 pixels along its shorter side it would be 25,600,000,000 long.
    with pytest.raises(
        image_decoding.BadImageError,
        match=f"^line: {size[0]} x {size[1]} is more than 100 times as long as wide",
    ):
        image_decoding.decode(huge_bitmap(*size), "line")


def test_a_panorama_is_read():
    assert decoded(Image.new("RGB", (900, 9)), "PNG").shape == (9, 900, 3)


def test_a_bad_image_is_a_value_error():
    assert issubclass(image_decoding.BadImageError, ValueError)


def test_decoding_in_two_threads_leaves_the_warning_filters_as_they_were(monkeypatch):
    # The second thread begins while the first is at it, and ends after it.
    inside = [threading.Event(), threading.Event()]
    first_done = threading.Event()
    arrivals, opened = iter((0, 1)), Image.open

    def open_in_turn(*arguments):
        number = next(arrivals)
        inside[number].set()
        (inside[1] if number == 0 else first_done).wait(1)
        return opened(*arguments)

    data = encoded(quarters(), "PNG")
    monkeypatch.setattr(Image, "open", open_in_turn)
    before = list(warnings.filters)
    with concurrent.futures.ThreadPoolExecutor(2) as executor:
        first = executor.submit(image_decoding.decode, data, "first")
        inside[0].wait(1)
        second = executor.submit(image_decoding.decode, data, "second")
        first.result()
        first_done.set()
        second.result()
    assert warnings.filters == before


def fill(folder, count, suffix=".png"):
    """`count` pictures in `folder`, each of its own grey."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        Image.new("RGB", (4, 4), (number,) * 3).save(folder / f"{number:03}{suffix}")


def open_folder(root, **options):
    return sources.open_source(f"folder:{root}", **options)


def names(examples):
    return [pathlib.Path(example.name).name for example in examples]


@pytest.mark.parametrize("validation", ["validation", "val"])
def test_a_folder_of_splits(tmp_path, validation):
    for split, count in (("train", 3), (validation, 2), ("test", 1)):
        for name in ("dog", "cat"):
            fill(tmp_path / "pets" / split / name, count)
    source = open_folder(tmp_path / "pets")
    assert (source.name, source.classes) == ("pets", ("cat", "dog"))
    counts = {split: len(examples) for split, examples in source.splits.items()}
    assert counts == {"train": 6, "validation": 4, "test": 2}
    train = source.splits["train"]
    assert [example.label for example in train] == [0, 0, 0, 1, 1, 1]
    assert [pathlib.Path(example.name).parent.name for example in train] == (
        ["cat"] * 3 + ["dog"] * 3
    )


def test_an_example_reads_its_own_file(tmp_path):
    fill(tmp_path / "train" / "a", 3)
    fill(tmp_path / "train" / "b", 1)
    train = open_folder(tmp_path).splits["train"]
    for number, example in enumerate(train[:3]):
        np.testing.assert_array_equal(example.read(), np.full((4, 4, 3), number))


def test_a_broken_file_is_named_by_its_path(tmp_path):
    fill(tmp_path / "train" / "a", 1)
    fill(tmp_path / "train" / "b", 1)
    path = tmp_path / "train" / "b" / "broken.jpg"
    path.write_bytes(encoded(NOISE, "JPEG")[:500])
    *_, example = open_folder(tmp_path).splits["train"]
    with pytest.raises(image_decoding.BadImageError, match=str(path)):
        example.read()


def test_pictures_are_found_deep_and_in_any_case_and_the_rest_counted(tmp_path, capsys):
    for name in ("a", "b"):
        fill(tmp_path / "train" / name / "deep" / "er", 1)
    fill(tmp_path / "train" / "a" / ".thumbnails", 0)
    Image.new("RGB", (4, 4)).save(tmp_path / "train" / "a" / "LOUD.JPG")
    (tmp_path / "train" / "a" / "notes.txt").write_text("not a picture")
    (tmp_path / "train" / "b" / "deep" / "scan.tif").write_bytes(b"")
    (tmp_path / "train" / ".git").mkdir()
    (tmp_path / "README.md").write_text("neither")
    source = open_folder(tmp_path)
    assert source.classes == ("a", "b")
    assert names(source.splits["train"]) == ["LOUD.JPG", "000.png", "000.png"]
    told = capsys.readouterr().err.splitlines()
    ending = f"whose names end in none of {', '.join(image_decoding.SUFFIXES)}"
    assert told == [f"{tmp_path / 'train'}: 2 files are left, {ending}"]


def test_what_a_mac_hides_is_no_picture(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / "train" / name, 1)
    (tmp_path / "train" / "a" / "._000.png").write_bytes(b"a resource fork")
    (tmp_path / "train" / "b" / "folder.png").mkdir()
    source = open_folder(tmp_path)
    assert names(source.splits["train"]) == ["000.png", "000.png"]


def test_splits_without_training_are_no_classes(tmp_path):
    for split in ("val", "test"):
        for name in ("a", "b"):
            fill(tmp_path / split / name, 1)
    with pytest.raises(ValueError, match="has test, val and no train: add train/"):
        open_folder(tmp_path)
    # Among other classes, test is one of them.
    fill(tmp_path / "exam", 1)
    assert open_folder(tmp_path, holdout=0).classes == ("exam", "test", "val")


def test_class_folders_may_be_links(tmp_path):
    fill(tmp_path / "elsewhere", 2)
    fill(tmp_path / "root" / "train" / "a", 1)
    (tmp_path / "root" / "train" / "b").symlink_to(tmp_path / "elsewhere")
    assert len(open_folder(tmp_path / "root").splits["train"]) == 3


def test_no_file_is_asked_for_what_the_listing_tells(tmp_path, monkeypatch):
    # Millions of them, on a disk that is far away.
    for name in ("a", "b"):
        fill(tmp_path / "train" / name, 50)
    asked = []

    def note(function):
        return lambda path, **options: asked.append(path) or function(path, **options)

    with monkeypatch.context() as patch:
        patch.setattr(os, "stat", note(os.stat))
        patch.setattr(os, "lstat", note(os.lstat))
        train = open_folder(tmp_path).splits["train"]
    assert len(train) == 100
    assert not [path for path in asked if str(path).endswith(".png")]


def test_a_part_of_a_split_can_be_sent_to_another_process(tmp_path):
    for name in ("a", "b"):
        fill(tmp_path / "train" / name, 5)
    sent = pickle.loads(pickle.dumps(open_folder(tmp_path).splits["train"][3:7]))
    assert names(sent) == ["003.png", "004.png", "000.png", "001.png"]
    assert [example.label for example in sent] == [0, 0, 1, 1]
    assert [int(example.read().max()) for example in sent] == [3, 4, 0, 1]


def test_a_fingerprint_tells_other_files_and_another_order(tmp_path):
    def fingerprint():
        return open_folder(tmp_path).fingerprint

    for name in ("a", "b"):
        fill(tmp_path / "train" / name, 2)
    first = fingerprint()
    assert fingerprint() == first
    (tmp_path / "train" / "a" / "000.png").rename(tmp_path / "train" / "b" / "1.png")
    assert fingerprint() != first


@pytest.fixture
def flat(tmp_path):
    """A folder a class and no splits: 2 x 200 pictures."""
    for name in ("a", "b"):
        fill(tmp_path / "flat" / name, 200)
    return tmp_path / "flat"


def held_out(root, **options):
    splits = open_folder(root, **options).splits
    return {
        str(pathlib.Path(example.name).relative_to(root))
        for example in splits.get("validation", ())
    }


def test_a_flat_folder_is_split_in_about_the_part_asked_for(flat):
    source = open_folder(flat, holdout=0.25)
    train, validation = source.splits["train"], source.splits["validation"]
    assert len(train) + len(validation) == 400
    assert not {e.name for e in train} & {e.name for e in validation}
    # Binomial of 400: five deviations.
    assert abs(len(validation) - 100) < 5 * (400 * 0.25 * 0.75) ** 0.5
    assert {example.label for example in validation} == {0, 1}
    for example in validation:
        assert example.label == "ab".index(pathlib.Path(example.name).parent.name)


def test_a_flat_folder_is_split_the_same_every_time(flat):
    assert held_out(flat) == held_out(flat) != set()


def test_a_file_keeps_its_split_when_others_come_and_go(flat):
    before = held_out(flat)
    fill(flat / "c", 50)
    for number in range(0, 200, 2):
        (flat / "a" / f"{number:03}.png").unlink()
    after = held_out(flat)
    assert {f for f in after if f[0] == "b"} == {f for f in before if f[0] == "b"}
    assert {f for f in after if f[0] == "a"} < {f for f in before if f[0] == "a"}


def test_a_greater_holdout_holds_the_same_files_and_more(flat):
    assert held_out(flat, holdout=0.1) < held_out(flat, holdout=0.5)


def test_a_folder_that_is_moved_keeps_its_split(flat, tmp_path, monkeypatch):
    before = held_out(flat)
    monkeypatch.chdir(tmp_path)
    assert held_out(pathlib.Path("flat")) == before
    shutil.move(flat, tmp_path / "elsewhere")
    assert held_out(tmp_path / "elsewhere") == before


def test_without_a_holdout_all_is_training(flat):
    assert list(open_folder(flat, holdout=0).splits) == ["train"]


def test_a_missing_folder_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere: no such folder"):
        open_folder(tmp_path / "nowhere")


def test_an_empty_class_folder_is_named(tmp_path):
    fill(tmp_path / "train" / "a", 1)
    (tmp_path / "train" / "b").mkdir()
    with pytest.raises(ValueError, match=f"{tmp_path}/train/b has no picture"):
        open_folder(tmp_path)


def test_one_class_is_not_enough(tmp_path):
    fill(tmp_path / "a", 3)
    with pytest.raises(ValueError, match="two or more.*found 1 classes"):
        open_folder(tmp_path)


def test_an_empty_folder_has_no_classes(tmp_path):
    with pytest.raises(ValueError, match="found 0 classes"):
        open_folder(tmp_path)


def test_a_class_that_training_lacks_is_named(tmp_path):
    for name in ("train/a", "train/b", "val/a", "val/b", "val/stranger"):
        fill(tmp_path / name, 1)
    with pytest.raises(ValueError, match=r"train/ lacks: \['stranger'\]"):
        open_folder(tmp_path)


@pytest.mark.parametrize(
    "specification",
    ["", "imagenet", "folder:", "folder", "tfds:", "zip:/a", "Garments", "garments:a"],
)
def test_an_unknown_kind_of_source_is_refused(specification):
    with pytest.raises(ValueError, match=f"folder:/path, got '{specification}'"):
        sources.open_source(specification)


class TinyPictures(tfds.core.GeneratorBasedBuilder):
    """Three training pictures, two to test and one in a split of another kind."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        return tfds.core.DatasetInfo(
            builder=self,
            features=tfds.features.FeaturesDict(
                {
                    "image": tfds.features.Image(shape=(None, None, 3)),
                    "label": tfds.features.ClassLabel(names=["dark", "light"]),
                }
            ),
        )

    def _split_generators(self, dl_manager):
        del dl_manager
        counts = {"train": 3, "test": 2, "unlabelled": 1}
        return {split: self._generate_examples(n) for split, n in counts.items()}

    def _generate_examples(self, count):
        for number in range(count):
            image = np.full((5, 4, 3), 100 * number, np.uint8)
            yield number, {"image": image, "label": number % 2}


class TinyNumbers(tfds.core.GeneratorBasedBuilder):
    """No pictures at all."""

    VERSION = tfds.core.Version("1.0.0")

    def _info(self):
        features = tfds.features.FeaturesDict({"x": tfds.features.Scalar(np.int64)})
        return tfds.core.DatasetInfo(builder=self, features=features)

    def _split_generators(self, dl_manager):
        del dl_manager
        return {"train": self._generate_examples()}

    def _generate_examples(self):
        yield 0, {"x": 1}


def test_a_tfds_dataset_is_built_and_read(tmp_path):
    source = sources.open_source("tfds:tiny_pictures", data_dir=str(tmp_path))
    assert (source.name, source.classes) == ("tiny_pictures", ("dark", "light"))
    counts = {split: len(examples) for split, examples in source.splits.items()}
    assert counts == {"train": 3, "test": 2}
    found = {}
    for example in source.splits["train"]:
        image = example.read()
        assert image.shape == (5, 4, 3)
        found[example.name] = (int(image.min()), int(image.max()), example.label)
    assert sorted(found) == [f"tiny_pictures/train#{i}" for i in range(3)]
    assert sorted(found.values()) == [(0, 0, 0), (100, 100, 1), (200, 200, 0)]
    assert list((tmp_path / "tfds").iterdir())
    sent = pickle.loads(pickle.dumps(source.splits["train"][1:]))
    assert [e.name for e in sent] == [f"tiny_pictures/train#{i}" for i in (1, 2)]
    assert {e.name: e.label for e in sent}.items() <= {
        name: label for name, (_, _, label) in found.items()
    }.items()


def test_a_tfds_dataset_is_built_by_one_process_at_a_time(tmp_path, monkeypatch):
    made, build = [], TinyPictures._generate_examples

    def meanwhile(builder, count):
        with pytest.raises(ValueError, match="another process is writing into.*wait"):
            sources.open_source("tfds:tiny_pictures", data_dir=str(tmp_path))
        made.append(count)
        return build(builder, count)

    monkeypatch.setattr(TinyPictures, "_generate_examples", meanwhile)
    sources.open_source("tfds:tiny_pictures", data_dir=str(tmp_path))
    assert made == [3, 2, 1]
    with lock.exclusive(tmp_path / "tfds" / "tiny_pictures", "unused"):
        sources.open_source("tfds:tiny_pictures", data_dir=str(tmp_path))  # built


def test_what_a_killed_build_left_is_removed(tmp_path):
    folder = tmp_path / "tfds" / "tiny_pictures"
    for name in ("incomplete.A1B2C3_1.0.0", "incomplete.A1B2C3_2.0.0"):
        (folder / name).mkdir(parents=True)
        (folder / name / "shard").write_bytes(bytes(100))
    sources.open_source("tfds:tiny_pictures", data_dir=str(tmp_path))
    found = sorted(path.name for path in folder.iterdir())
    assert found == ["1.0.0", "incomplete.A1B2C3_2.0.0", "lock"]


def test_a_reader_of_a_tfds_dataset_may_have_its_shards_open(tmp_path, monkeypatch):
    asked = []
    monkeypatch.setattr(records, "allow_open_files", asked.append)
    source = sources.open_source("tfds:tiny_pictures", data_dir=str(tmp_path))
    source.splits["train"][0].read()
    assert set(asked) == {3}  # a shard a split


def test_a_tfds_dataset_without_pictures_is_refused(tmp_path):
    with pytest.raises(ValueError, match="tfds:tiny_numbers is no image classif"):
        sources.open_source("tfds:tiny_numbers", data_dir=str(tmp_path))


def test_a_name_that_tfds_does_not_know_is_told(tmp_path):
    with pytest.raises(ValueError, match="tfds:no_such_pictures: TFDS has no such"):
        sources.open_source("tfds:no_such_pictures", data_dir=str(tmp_path))
