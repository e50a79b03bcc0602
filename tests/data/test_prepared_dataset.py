"""Records written and read back, and the statistics against numpy on all pixels."""

import io
import json
import resource

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from alexnet_tf.data import image_statistics, prepared_dataset, record_files, records


def picture(size=8, seed=0):
    pixels = np.random.default_rng(seed).integers(0, 256, (size, size, 3))
    return pixels.astype(np.uint8)


def smooth_picture(size=32):
    """Gentle slopes, which a JPEG keeps to a few levels."""
    row, column = np.mgrid[:size, :size]
    planes = (3 * row + 40, 3 * column + 60, 200 - 2 * row - 2 * column)
    return np.stack(planes, axis=-1).astype(np.uint8)


def by_tensorflow(encoded, size, encoding):
    """The picture of some bytes, slowly."""
    if encoding == "jpeg":
        return tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE").numpy()
    return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), [size, size, 3]).numpy()


def test_a_raw_picture_is_its_bytes():
    image = picture()
    encoded = records.encode(image, "raw")
    assert len(encoded) == 8 * 8 * 3
    np.testing.assert_array_equal(records.decode(encoded, 8, "raw"), image)


def test_a_jpeg_is_its_picture_to_a_few_levels():
    image = smooth_picture()
    encoded = records.encode(image, "jpeg")
    assert encoded[:3] == b"\xff\xd8\xff"
    found = records.decode(encoded, 32, "jpeg")
    assert np.abs(found.astype(int) - image).max() <= 8


def test_a_jpeg_is_of_quality_95_and_halved_chroma_as_pillow_writes_it():
    ours = Image.open(io.BytesIO(records.encode(smooth_picture(), "jpeg")))
    file = io.BytesIO()
    Image.fromarray(smooth_picture()).save(
        file, "JPEG", quality=95, subsampling="4:2:0"
    )
    theirs = Image.open(file)
    assert (ours.quantization, ours.layer) == (theirs.quantization, theirs.layer)


@hypothesis.given(st.integers(1, 40), st.booleans(), st.integers(0, 2**32 - 1))
@hypothesis.settings(deadline=None, max_examples=50)
def test_a_picture_is_decoded_as_tensorflow_decodes_it(size, grey, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    if grey:  # one component, and a file of another library
        file = io.BytesIO()
        Image.fromarray(image[..., 0]).save(file, "JPEG")
        files = {"jpeg": file.getvalue()}
    else:
        files = {kind: records.encode(image, kind) for kind in ("jpeg", "raw")}
    for kind, encoded in files.items():
        expected = by_tensorflow(encoded, size, kind)
        for into in (None, np.empty((size, size, 3), np.uint8)):
            found = records.decode(memoryview(encoded), size, kind, into=into)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [7, 9])
@pytest.mark.parametrize("kind", ["jpeg", "raw"])
@pytest.mark.parametrize("buffer", [False, True])
def test_a_picture_of_another_size_is_refused(kind, size, buffer):
    encoded = records.encode(picture(8), kind)
    into = np.empty((size, size, 3), np.uint8) if buffer else None
    with pytest.raises(record_files.DamagedRecordError, match="a record's "):
        records.decode(encoded, size, kind, into=into)


def test_a_jpeg_that_is_cut_off_is_refused():
    encoded = records.encode(picture(8), "jpeg")
    with pytest.raises(record_files.DamagedRecordError, match="JPEG is damaged: "):
        records.decode(encoded[:-20], 8, "jpeg")


KINDS = pytest.mark.parametrize("kind", ["jpeg", "raw"])


def record(number, size=2):
    """A record of a shard of either kind: no JPEG, but nothing here decodes it."""
    return record_files.Record(
        np.random.default_rng(number).bytes(size * size * 3), number
    )


def shards_of(folder, kind, count, ends, size=2):
    """Paths of shards that hold records 0 to ends[0] - 1, ends[0] to ends[1] - 1 ..."""
    paths = []
    for shard, (start, end) in enumerate(zip((0, *ends), ends, strict=False)):
        paths.append(
            folder / prepared_dataset.shard_name("train", shard, len(ends), kind)
        )
        named = [
            (f"{number}.JPEG", record(number, size)) for number in range(start, end)
        ]
        record_files.write_shard(paths[-1], named, encoding=kind, size=size)
    assert end == count
    return paths


@KINDS
def test_records_are_read_in_any_order_across_shards(tmp_path, kind):
    source = records.Records(shards_of(tmp_path, kind, 7, (3, 3, 7)), 7)
    assert len(source) == 7
    order = [6, 0, 3, 3, 5, 1]
    assert [source[index] for index in order] == [record(i) for i in order]
    assert [source.read(index) for index in order] == [record(i) for i in order]
    for index in (-1, 7):
        with pytest.raises(IndexError, match=f"record {index} of 7"):
            source[index]


SIZE = 100  # 30 kB a record: those of a shard lie over three of ArrayRecord's blocks
RECORDS = [record(number, SIZE) for number in range(8)]


@pytest.fixture(scope="module", params=["jpeg", "raw"])
def two_shards(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp("shards")
    return shards_of(folder, request.param, 8, (3, 8), SIZE)


def damaged_copy(paths, folder, change):
    """The shards, the second one's bytes changed."""
    second = folder / f"damaged-00001{paths[1].suffix}"
    second.write_bytes(change(paths[1].read_bytes()))
    return [paths[0], second]


@hypothesis.given(
    st.one_of(st.integers(0, 300), st.integers(0, 10**9), st.integers(-600, -1)),
    st.integers(0, 7),
)
@hypothesis.settings(
    deadline=None,
    max_examples=150,
    suppress_health_check=[
        hypothesis.HealthCheck.function_scoped_fixture,
        hypothesis.HealthCheck.differing_executors,
    ],
)
@pytest.mark.filterwarnings("ignore:Reading `.npy`:UserWarning")
def test_a_flipped_bit_is_found_or_changes_nothing(two_shards, tmp_path, at, bit):
    def flip(content):
        changed = bytearray(content)
        changed[at % len(content)] ^= 1 << bit
        return bytes(changed)

    paths = damaged_copy(two_shards, tmp_path, flip)
    source = records.Records(paths, 8, "skip")
    found = [source.read(index) for index in range(8)]
    assert found[:3] == RECORDS[:3]
    lost = [index for index in range(8) if found[index] is None]
    # One record, or with the index all of the shard.
    assert len(lost) in (0, 1, 5)
    assert source.skipped == len(lost)
    for index in set(range(8)) - set(lost):
        assert found[index] == RECORDS[index]
    for index in lost:
        with pytest.raises(
            record_files.DamagedRecordError, match=r"00001.*at (byte )?\d+"
        ):
            source[index]


@hypothesis.given(st.floats(0, 1, exclude_max=True))
@hypothesis.settings(
    deadline=None,
    max_examples=20,
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture],
)
def test_a_truncated_shard_is_found(two_shards, tmp_path, part):
    def cut(content):
        # Behind the raw ones lie the names, which nothing here reads.
        pictures = (
            content.rfind(b"\x93NUMPY") if two_shards[1].suffix == ".npy" else None
        )
        return content[: int(part * len(content[:pictures]))]

    paths = damaged_copy(two_shards, tmp_path, cut)
    with pytest.raises(
        record_files.DamagedRecordError, match=r"00001.*cut off \(the file ends at byte"
    ):
        records.Records(paths, 8)
    source = records.Records(paths, 8, "skip")
    found = [source.read(index) for index in range(8)]
    assert found == RECORDS[:3] + [None] * 5


def test_a_header_that_a_disk_does_not_give_is_told_apart(tmp_path, monkeypatch):
    paths = shards_of(tmp_path, "raw", 8, (3, 8), SIZE)

    def fail(file):
        raise OSError(5, "Input/output error")

    monkeypatch.setattr(record_files, "_read_header", fail)
    with pytest.raises(
        record_files.DamagedRecordError,
        match=r"cannot be read \(.*Input/output error\)",
    ):
        records.Records(paths, 8)
    assert records.Records(paths, 8, "skip").read(0) is None


def test_a_damaged_record_is_named_with_its_file_and_byte(two_shards, tmp_path, caplog):
    at = 70_000
    paths = damaged_copy(
        two_shards, tmp_path, lambda c: c[:at] + bytes([c[at] ^ 1]) + c[at + 1 :]
    )
    (bad,) = [
        i for i in range(3, 8) if records.Records(paths, 8, "skip").read(i) is None
    ]
    text = rf"{paths[1]}: record {bad - 3} is damaged \(.*at byte \d+.*\)"
    with pytest.raises(record_files.DamagedRecordError, match=text + ".*=skip"):
        records.Records(paths, 8).read(bad)
    caplog.clear()
    source = records.Records(paths, 8, "skip")
    assert [source.read(bad), source.read(bad)] == [None, None]
    assert caplog.text.count("skipped (1 so far)") == 1
    assert f"{paths[1]}: record {bad - 3}" in caplog.text


@KINDS
def test_lost_shards_keep_the_places_of_the_others_and_are_told_once(
    tmp_path, caplog, kind
):
    paths = shards_of(tmp_path, kind, 12, (3, 6, 9, 12))
    for shard in (0, 2):
        paths[shard].write_bytes(b"")
    source = records.Records(paths, 12, "skip")
    found = [source.read(index) for index in range(12)]
    none = [None] * 3
    assert found == [*none, *map(record, (3, 4, 5)), *none, *map(record, (9, 10, 11))]
    assert source.skipped == 6
    assert [caplog.text.count(f"{path}: the ") for path in paths] == [1, 0, 1, 0]


def test_shards_of_another_dataset_are_refused(two_shards):
    with pytest.raises(
        record_files.DamagedRecordError, match="hold 8 records, and .* 9"
    ):
        records.Records(two_shards, 9)
    with pytest.raises(
        record_files.DamagedRecordError, match="hold 8 records, and .* 7"
    ):
        records.Records(two_shards, 7, "skip")


def test_as_many_files_may_be_open_as_there_are_shards():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        records.allow_open_files(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
        records.allow_open_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (356, hard)
        if hard != resource.RLIM_INFINITY:
            with pytest.raises(OSError, match=f"ulimit -Hn {hard}"):
                records.allow_open_files(hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_a_shard_is_named_by_its_place():
    name = "train-00003-of-00012"
    assert prepared_dataset.shard_name("train", 3, 12, "jpeg") == f"{name}.array_record"
    assert prepared_dataset.shard_name("train", 3, 12, "raw") == f"{name}.npy"


def statistics_of(pictures):
    accumulator = image_statistics.StatisticsAccumulator(pictures[0].shape[0])
    for image in pictures:
        accumulator.add(image)
    return accumulator.result()


@hypothesis.given(st.integers(1, 6), st.integers(1, 5), st.integers(0, 99))
@hypothesis.settings(deadline=None, max_examples=20)
def test_statistics_are_numpys_over_all_pixels(count, size, seed):
    pictures = [picture(size, seed + i) for i in range(count)]
    found = statistics_of(pictures)
    every = np.stack(pictures).astype(np.float64)
    np.testing.assert_allclose(found.mean, every.mean(0), rtol=1e-6, atol=1e-6)
    assert found.mean.dtype == np.float32
    expected = np.cov(every.reshape(-1, 3), rowvar=False, bias=True)
    np.testing.assert_allclose(found.covariance, expected, rtol=1e-9, atol=1e-7)


def colourful(count=20):
    """Pictures whose three channels go together, as those of photographs do."""
    rng = np.random.default_rng(0)
    grey = rng.uniform(60, 200, (count, 6, 6, 1))
    pixels = grey + rng.normal(0, (5, 10, 25), (count, 6, 6, 3))
    return list(pixels.clip(0, 255).astype(np.uint8))


def test_axes_and_deviations_make_the_covariance_again():
    found = statistics_of(colourful())
    vectors, stdevs = found.eigenvectors, found.stdevs
    np.testing.assert_allclose(vectors.T @ vectors, np.eye(3), atol=1e-12)
    again = vectors @ np.diag(stdevs**2) @ vectors.T
    np.testing.assert_allclose(again, found.covariance, rtol=1e-9)
    assert stdevs[0] > stdevs[1] > stdevs[2] > 0


def test_the_strongest_axis_of_photographs_is_brightness():
    axis = statistics_of(colourful()).eigenvectors[:, 0]
    np.testing.assert_allclose(axis, np.full(3, 3**-0.5), atol=0.05)


def test_the_order_of_the_pictures_changes_no_bit():
    pictures = colourful()
    forward, backward = statistics_of(pictures), statistics_of(pictures[::-1])
    for name in ("mean", "covariance", "eigenvectors", "stdevs"):
        np.testing.assert_array_equal(getattr(forward, name), getattr(backward, name))


def test_the_sign_of_an_axis_does_not_hang_on_the_solver(monkeypatch):
    plain = statistics_of(colourful())
    solve = np.linalg.eigh
    monkeypatch.setattr(
        np.linalg, "eigh", lambda matrix: (solve(matrix)[0], -solve(matrix)[1])
    )
    np.testing.assert_array_equal(
        statistics_of(colourful()).eigenvectors, plain.eigenvectors
    )


def test_grey_pictures_have_one_axis_and_no_negative_deviation():
    grey = [np.repeat(image[..., :1], 3, axis=-1) for image in colourful()]
    found = statistics_of(grey)
    spread = np.stack(grey).std()
    np.testing.assert_allclose(
        found.stdevs, [3**0.5 * spread, 0, 0], rtol=1e-9, atol=1e-3
    )


def test_statistics_of_nothing_are_an_error():
    with pytest.raises(ValueError, match="training split has no pictures"):
        image_statistics.StatisticsAccumulator(4).result()


@pytest.mark.parametrize(("side", "first"), [(8, 0), (6, 1), (4, 2), (5, 1)])
def test_the_mean_is_cropped_in_its_middle(side, first):
    found = statistics_of([picture(8)]).mean_crop(side)
    expected = picture(8)[first : first + side, first : first + side]
    np.testing.assert_array_equal(found, expected)


def a_dataset(path, **changes):
    described = {
        "name": "two",
        "size": 6,
        "encoding": "raw",
        "classes": ("cat", "dog & wölf"),
        "counts": {"train": 3, "test": 2},
    }
    return prepared_dataset.Dataset(**(described | changes), path=path)


def test_a_description_is_read_as_it_was_written(tmp_path):
    dataset, statistics = a_dataset(tmp_path), statistics_of(colourful())
    prepared_dataset.write_description(dataset, statistics)
    found = prepared_dataset.read_description(str(tmp_path))
    assert found == dataset
    assert found.path == tmp_path
    for name in ("mean", "covariance", "eigenvectors", "stdevs"):
        written = getattr(statistics, name)
        np.testing.assert_array_equal(getattr(found.statistics(), name), written)
        assert getattr(found.statistics(), name).dtype == written.dtype
    described = json.loads((tmp_path / "dataset.json").read_text())
    assert described["counts"] == {"train": 3, "test": 2}


def test_a_folder_that_is_not_prepared_says_how_to_prepare_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"python -m alexnet_tf\.prepare"):
        prepared_dataset.read_description(tmp_path)
    with pytest.raises(FileNotFoundError, match="nowhere is no prepared dataset"):
        prepared_dataset.read_description(tmp_path / "nowhere")


def test_validation_is_evaluated_on_before_test(tmp_path):
    counts = {"train": 1, "test": 1}
    assert a_dataset(tmp_path, counts=counts).evaluation_split == "test"
    counts["validation"] = 1
    assert a_dataset(tmp_path, counts=counts).evaluation_split == "validation"
    with pytest.raises(ValueError, match="no validation or test split"):
        _ = a_dataset(tmp_path, counts={"train": 1}).evaluation_split


def test_shards_are_found_in_order_by_split_and_kind(tmp_path):
    names = [prepared_dataset.shard_name("train", i, 11, "raw") for i in (10, 2, 0)]
    others = [
        prepared_dataset.shard_name("test", 0, 1, "raw"),
        prepared_dataset.shard_name("train", 0, 1, "jpeg"),
    ]
    for name in [*names, *others]:
        (tmp_path / name).touch()
    found = a_dataset(tmp_path).shards("train")
    assert found == [tmp_path / name for name in reversed(names)]


def test_a_missing_split_or_shard_is_named(tmp_path):
    with pytest.raises(ValueError, match="no split 'validation', only train, test"):
        a_dataset(tmp_path).shards("validation")
    with pytest.raises(FileNotFoundError, match=r"no train-\*\.npy: prepare"):
        a_dataset(tmp_path).shards("train")


def test_an_encoding_of_another_version_is_named(tmp_path):
    dataset = a_dataset(tmp_path, encoding="webp")
    prepared_dataset.write_description(dataset, statistics_of(colourful()))
    with pytest.raises(ValueError, match=r"another version of .*'webp'"):
        prepared_dataset.read_description(tmp_path)
