"""Records are written and read back, and damage is found."""

import io
import resource

import hypothesis
import numpy as np
import pytest
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from alexnet_tf.data import prepared_dataset, record_files, records
from tests.support import images


def smooth_image(size=32):
    """Gentle slopes, which change by only a few levels in a JPEG."""
    row, column = np.mgrid[:size, :size]
    planes = (3 * row + 40, 3 * column + 60, 200 - 2 * row - 2 * column)
    return np.stack(planes, axis=-1).astype(np.uint8)


def by_tensorflow(encoded, size, encoding):
    """Decodes the image bytes of a record with TensorFlow."""
    if encoding == "jpeg":
        return tf.io.decode_jpeg(encoded, 3, dct_method="INTEGER_ACCURATE").numpy()
    return tf.reshape(tf.io.decode_raw(encoded, tf.uint8), [size, size, 3]).numpy()


def test_a_raw_record_is_the_bytes_of_its_image():
    image = images.random_image(0, 8, 8)
    encoded = records.encode_image(image, "raw")
    assert len(encoded) == 8 * 8 * 3
    np.testing.assert_array_equal(records.decode_image(encoded, 8, "raw"), image)


def test_a_jpeg_record_equals_its_image_within_a_few_levels():
    image = smooth_image()
    encoded = records.encode_image(image, "jpeg")
    assert encoded[:3] == b"\xff\xd8\xff"
    found = records.decode_image(encoded, 32, "jpeg")
    assert np.abs(found.astype(int) - image).max() <= 8


def test_a_jpeg_has_quality_95_and_halved_chroma():
    ours = Image.open(io.BytesIO(records.encode_image(smooth_image(), "jpeg")))
    file = io.BytesIO()
    Image.fromarray(smooth_image()).save(file, "JPEG", quality=95, subsampling="4:2:0")
    theirs = Image.open(file)
    assert (ours.quantization, ours.layer) == (theirs.quantization, theirs.layer)


@hypothesis.given(st.integers(1, 40), st.booleans(), st.integers(0, 2**32 - 1))
@hypothesis.settings(deadline=None, max_examples=50)
def test_an_image_is_decoded_as_tensorflow_decodes_it(size, gray, seed):
    rng = np.random.default_rng(seed)
    image = rng.integers(0, 256, (size, size, 3), dtype=np.uint8)
    if gray:  # a JPEG with one component, written by another library
        file = io.BytesIO()
        Image.fromarray(image[..., 0]).save(file, "JPEG")
        files = {"jpeg": file.getvalue()}
    else:
        files = {kind: records.encode_image(image, kind) for kind in ("jpeg", "raw")}
    for kind, encoded in files.items():
        expected = by_tensorflow(encoded, size, kind)
        for into in (None, np.empty((size, size, 3), np.uint8)):
            found = records.decode_image(memoryview(encoded), size, kind, into=into)
            np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("size", [7, 9])
@pytest.mark.parametrize("kind", ["jpeg", "raw"])
@pytest.mark.parametrize("buffer", [False, True])
def test_a_record_of_another_size_is_rejected(kind, size, buffer):
    encoded = records.encode_image(images.random_image(0, 8, 8), kind)
    into = np.empty((size, size, 3), np.uint8) if buffer else None
    with pytest.raises(record_files.DamagedRecordError, match="a record's "):
        records.decode_image(encoded, size, kind, into=into)


def test_a_truncated_jpeg_is_rejected():
    encoded = records.encode_image(images.random_image(0, 8, 8), "jpeg")
    with pytest.raises(record_files.DamagedRecordError, match="JPEG is damaged: "):
        records.decode_image(encoded[:-20], 8, "jpeg")


KINDS = pytest.mark.parametrize("kind", ["jpeg", "raw"])


def record(number, size=2):
    """A record with random bytes. It is not a JPEG, but nothing here decodes it."""
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


SIZE = 100  # 30 kB per record, so a shard takes three blocks of ArrayRecord


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
    # One record is lost, or all five of the shard if its index is damaged.
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
        # Raw records are followed by the names, which nothing here reads.
        is_raw = two_shards[1].suffix == ".npy"
        end = content.rfind(b"\x93NUMPY") if is_raw else len(content)
        return content[: int(part * end)]

    paths = damaged_copy(two_shards, tmp_path, cut)
    with pytest.raises(
        record_files.DamagedRecordError, match=r"00001.*cut off \(the file ends at byte"
    ):
        records.Records(paths, 8)
    source = records.Records(paths, 8, "skip")
    found = [source.read(index) for index in range(8)]
    assert found == RECORDS[:3] + [None] * 5


def test_a_header_that_the_disk_cannot_read_is_reported_as_such(tmp_path, monkeypatch):
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
def test_lost_shards_keep_their_indices_and_are_logged_once(tmp_path, caplog, kind):
    paths = shards_of(tmp_path, kind, 12, (3, 6, 9, 12))
    for shard in (0, 2):
        paths[shard].write_bytes(b"")
    source = records.Records(paths, 12, "skip")
    found = [source.read(index) for index in range(12)]
    none = [None] * 3
    assert found == [*none, *map(record, (3, 4, 5)), *none, *map(record, (9, 10, 11))]
    assert source.skipped == 6
    assert [caplog.text.count(f"{path}: the ") for path in paths] == [1, 0, 1, 0]


@pytest.mark.parametrize(
    ("ends", "lost"),
    [((3, 7, 10, 12), (0, 1)), ((2, 9, 12), (0, 2)), ((3, 6, 10, 12), (0, 1, 2))],
)
def test_records_after_lost_shards_keep_their_indices_whatever_their_number(
    ends, lost, tmp_path, caplog
):
    paths = shards_of(tmp_path, "raw", 12, ends)
    for shard in lost:
        paths[shard].write_bytes(b"")
    source = records.Records(paths, 12, "skip")
    assert len(source) == 12
    starts = dict(enumerate(zip((0, *ends), ends, strict=False)))
    whole = {n for s, (a, b) in starts.items() if s not in lost for n in range(a, b)}
    assert [source.read(index) for index in range(12)] == [
        record(index) if index in whole else None for index in range(12)
    ]


def test_shards_with_another_number_of_records_are_rejected(two_shards):
    with pytest.raises(
        record_files.DamagedRecordError, match="hold 8 records, but .* 9"
    ):
        records.Records(two_shards, 9)
    with pytest.raises(
        record_files.DamagedRecordError, match="hold 8 records, but .* 7"
    ):
        records.Records(two_shards, 7, "skip")


def test_the_limit_on_open_files_is_raised_to_the_number_of_shards():
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (300, hard))
        records.allow_open_files(10)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (300, hard)
        records.allow_open_files(100)
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (356, hard)
        if hard != resource.RLIM_INFINITY:
            with pytest.raises(OSError, match=f"allows {hard}.*ulimit -Hn"):
                records.allow_open_files(hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
