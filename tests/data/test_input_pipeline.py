"""Batches have the right images, order, crops and color noise from any step on."""

import dataclasses
import math
import shutil
import time

import numpy as np
import pytest
import tensorflow as tf

from alexnet_tf.data import (
    augmentation,
    image_statistics,
    input_pipeline,
    preparation,
    prepared_dataset,
    record_files,
    records,
    source_types,
)
from alexnet_tf.models import resizing
from tests.support import programs

SIZE, CROP, COUNT, BATCH = 8, 6, 26, 4
STEPS = COUNT // BATCH
RECIPE = input_pipeline.Recipe(
    batch_size=BATCH,
    crop=CROP,
    seed=0,
    color_noise="cuda_convnet",
    color_noise_end_epoch=math.inf,
    crop_sharing=1,
)


def numbered_image(number):
    """An image whose pixels are (row, column, number), to recognize them in a crop."""
    row, column = np.mgrid[:SIZE, :SIZE]
    return np.stack([row, column, np.full_like(row, number)], -1).astype(np.uint8)


def numbers(inputs):
    """The number of each image in a batch."""
    return np.asarray(inputs["image"])[:, 0, 0, 2].tolist()


def corners(inputs):
    """The row and column of the top left corner of each crop in a batch."""
    return [tuple(corner) for corner in np.asarray(inputs["image"])[:, 0, 0, :2]]


def prepare_numbered(folder, encoding):
    """26 training images and 7 validation images; image n has class n % 5."""

    def examples(count):
        return [
            source_types.Example(str(n), n % 5, lambda n=n: numbered_image(n))
            for n in range(count)
        ]

    source = source_types.Source(
        "numbered",
        tuple("abcde"),
        {"train": examples(COUNT), "validation": examples(7)},
    )
    return preparation.prepare_dataset(source, folder, size=SIZE, encoding=encoding)


@pytest.fixture(scope="module")
def dataset(tmp_path_factory):
    return prepare_numbered(tmp_path_factory.mktemp("data") / "numbered", "raw")


def batches(dataset, first=0, last=3 * STEPS, rows=None, damaged="stop", **changes):
    recipe = RECIPE._replace(**changes)
    found = input_pipeline.training_batches(
        dataset, recipe, first_step=first, last_step=last, rows=rows, damaged=damaged
    )
    return [
        ({key: value.numpy() for key, value in inputs.items()}, labels.numpy())
        for inputs, labels in found
    ]


def assert_same(one, two):
    assert len(one) == len(two)
    for (inputs, labels), (other_inputs, other_labels) in zip(one, two, strict=True):
        np.testing.assert_array_equal(labels, other_labels)
        for key in ("image", "mirror", "shift", "gain"):
            np.testing.assert_array_equal(inputs[key], other_inputs[key])


@pytest.fixture(scope="module")
def run(dataset):
    """Three epochs of batches."""
    return batches(dataset)


def test_center_crops_are_those_of_evaluation(dataset):
    found = batches(dataset, crops="center")
    assert {corner for inputs, _ in found for corner in corners(inputs)} == {(1, 1)}
    everything = np.stack([numbered_image(0)])
    center = resizing.center_crop(everything, CROP)
    assert tuple(center[0, 0, 0, :2]) == (1, 1)


def test_without_mirroring_no_image_is_mirrored_and_all_else_is_the_same(dataset, run):
    assert any(inputs["mirror"].any() for inputs, _ in run)
    for (inputs, _), (before, _) in zip(
        batches(dataset, mirror=False), run, strict=True
    ):
        assert not inputs["mirror"].any()
        np.testing.assert_array_equal(inputs["image"], before["image"])


def test_a_batch_has_the_shapes_and_types_that_the_model_needs(dataset):
    found = input_pipeline.training_batches(dataset, RECIPE, first_step=0, last_step=1)
    inputs, labels = found.element_spec
    assert inputs == {
        "image": tf.TensorSpec([BATCH, CROP, CROP, 3], tf.uint8),
        "mirror": tf.TensorSpec([BATCH], tf.bool),
        "shift": tf.TensorSpec([BATCH, 3], tf.float32),
        "gain": tf.TensorSpec([BATCH], tf.float32),
    }
    assert labels == tf.TensorSpec([BATCH], tf.int32)


def test_there_is_one_batch_per_step(dataset, run):
    assert input_pipeline.steps_per_epoch(dataset, BATCH) == STEPS == 6
    assert len(run) == 18
    assert batches(dataset, 5, 5) == []


def test_fewer_images_than_a_batch_are_an_error(dataset):
    with pytest.raises(ValueError, match="26 training images, fewer than .*=27"):
        input_pipeline.steps_per_epoch(dataset, 27)


@pytest.mark.parametrize("step", [1, 5, 6, 7, 13, 17])
def test_a_run_resumed_at_any_step_sees_the_same_batches(dataset, run, step):
    assert_same(batches(dataset, first=step), run[step:])


def test_the_same_seed_gives_the_same_batches(dataset, run):
    assert_same(batches(dataset), run)


def orders(run):
    """The numbers of the images of each epoch, in their order."""
    flat = [number for inputs, _ in run for number in numbers(inputs)]
    return [flat[i : i + STEPS * BATCH] for i in range(0, len(flat), STEPS * BATCH)]


def test_no_image_appears_twice_in_an_epoch(run):
    for order in orders(run):
        assert len(set(order)) == len(order) == STEPS * BATCH


def test_the_images_left_over_differ_between_epochs(dataset):
    left = [
        frozenset(range(COUNT)) - frozenset(order)
        for order in orders(batches(dataset, last=8 * STEPS))
    ]
    assert {len(images) for images in left} == {COUNT % BATCH}
    assert len(set(left)) > 4


def test_every_epoch_and_seed_has_its_own_order(dataset, run):
    found = orders(run) + orders(batches(dataset, seed=1))
    assert len({tuple(order) for order in found}) == 6
    assert tuple(range(STEPS * BATCH)) not in {tuple(order) for order in found}


def test_the_order_is_a_fair_shuffle(dataset):
    # In 200 epochs, image 0 must appear at every place, in the middle on average.
    plan = input_pipeline._Plan(dataset, RECIPE, slice(0, BATCH), "stop")
    places = [plan._draw_epoch(epoch)[0].tolist().index(0) for epoch in range(200)]
    deviation = np.sqrt((COUNT**2 - 1) / 12)
    assert abs(np.mean(places) - (COUNT - 1) / 2) < 5 * deviation / np.sqrt(200)
    assert len(set(places)) == COUNT


def test_labels_match_their_images(run):
    for inputs, labels in run:
        assert labels.tolist() == [number % 5 for number in numbers(inputs)]


def test_crops_are_squares_of_their_image_and_occur_at_every_place(dataset):
    seen = set()
    for inputs, _ in batches(dataset, last=20 * STEPS):
        for image, (row, column) in zip(inputs["image"], corners(inputs), strict=True):
            whole = numbered_image(image[0, 0, 2])
            expected = whole[row : row + CROP, column : column + CROP]
            np.testing.assert_array_equal(image, expected)
            seen.add((int(row), int(column)))
    assert seen == {(row, column) for row in range(3) for column in range(3)}


def test_an_image_has_new_color_noise_in_every_epoch(run):
    drawn = {number: set() for number in range(COUNT)}
    for inputs, _ in run:
        for number, shift in zip(numbers(inputs), inputs["shift"], strict=True):
            assert tuple(shift) not in drawn[number]
            drawn[number].add(tuple(shift))
    shifts = set.union(*drawn.values())
    assert len(shifts) == 3 * STEPS * BATCH


def test_random_numbers_depend_only_on_seed_epoch_and_image(dataset):
    # Batches of another size put an image into another step, but must not change
    # its random numbers.
    drawn = {}
    for size in (4, 13):
        for inputs, _ in batches(dataset, last=COUNT // size, batch_size=size):
            rows = zip(
                numbers(inputs),
                corners(inputs),
                inputs["mirror"],
                inputs["shift"],
                strict=True,
            )
            for number, corner, mirror, shift in rows:
                values = (corner, bool(mirror), tuple(shift))
                assert drawn.setdefault(number, values) == values
    assert len(drawn) == COUNT


def test_the_shift_is_the_images_random_numbers_along_the_color_axes(dataset, run):
    statistics = dataset.statistics()
    alpha = augmentation.draw_epoch(0, 0, COUNT).color.numpy()
    axes = 0.1 * statistics.eigenvectors * statistics.stdevs
    for inputs, _ in run[:STEPS]:
        expected = alpha[numbers(inputs)] @ axes.T
        np.testing.assert_allclose(inputs["shift"], expected, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(inputs["gain"], 1 / 1.1)


@pytest.mark.parametrize(("color_noise", "gain"), [("paper", 1), ("none", 1)])
def test_the_paper_and_no_color_noise_have_a_gain_of_one(dataset, color_noise, gain):
    for inputs, _ in batches(dataset, last=2, color_noise=color_noise):
        assert (np.abs(inputs["shift"]).max() > 0) == (color_noise == "paper")
        np.testing.assert_array_equal(inputs["gain"], gain)


@pytest.mark.parametrize(("end", "step"), [(1.0, 6), (0.5, 3), (1.75, 11)])
def test_color_noise_and_its_gain_end_at_the_given_epoch(dataset, end, step):
    found = batches(dataset, color_noise_end_epoch=end)
    colored = [bool(np.abs(inputs["shift"]).max() > 0) for inputs, _ in found]
    assert colored == [number < step for number in range(3 * STEPS)]
    for number, (inputs, _) in enumerate(found):
        expected = 1 / 1.1 if number < step else 1.0
        np.testing.assert_allclose(inputs["gain"], expected, rtol=1e-6)


def test_the_end_of_color_noise_changes_nothing_else(dataset, run):
    for (inputs, labels), (others, other_labels) in zip(
        batches(dataset, color_noise_end_epoch=1.0), run, strict=True
    ):
        np.testing.assert_array_equal(labels, other_labels)
        np.testing.assert_array_equal(inputs["image"], others["image"])
        np.testing.assert_array_equal(inputs["mirror"], others["mirror"])


def test_consecutive_images_share_crop_and_mirroring_but_not_color_noise(dataset):
    places, mirrors = set(), set()
    for inputs, _ in batches(
        dataset, last=20, batch_size=12, crop_sharing=5, color_noise="cuda_convnet"
    ):
        whole = list(zip(corners(inputs), inputs["mirror"].tolist(), strict=True))
        for start in (0, 5, 10):  # the last group of a batch is shorter
            group = whole[start : start + 5]
            assert len(set(group)) == 1
            places.add(group[0][0])
            mirrors.add(group[0][1])
        assert len({tuple(shift) for shift in inputs["shift"]}) == 12
    assert len(places) > 4
    assert mirrors == {False, True}


@pytest.mark.parametrize("rows", [(0, 4), (4, 8), (3, 12), (0, 12), (11, 12)])
def test_rows_of_a_batch_equal_those_of_the_whole_batch(dataset, rows):
    recipe = {"last": 5, "batch_size": 12, "crop_sharing": 5}
    start, stop = rows
    whole = [
        ({key: value[start:stop] for key, value in inputs.items()}, labels[start:stop])
        for inputs, labels in batches(dataset, **recipe)
    ]
    assert_same(batches(dataset, rows=rows, **recipe), whole)
    (spec, _) = input_pipeline.training_batches(
        dataset, RECIPE, first_step=0, last_step=1, rows=(1, 3)
    ).element_spec
    assert spec["image"].shape == [2, CROP, CROP, 3]


@pytest.mark.parametrize("rows", [(2, 2), (-1, 2), (0, 5)])
def test_rows_outside_the_batch_are_rejected(dataset, rows):
    with pytest.raises(ValueError, match="within a batch of 4, got"):
        batches(dataset, rows=rows)


def test_half_of_the_images_are_mirrored(dataset):
    mirrored = np.concatenate(
        [inputs["mirror"] for inputs, _ in batches(dataset, last=40 * STEPS)]
    )
    error = 5 * 0.5 / np.sqrt(len(mirrored))
    assert abs(mirrored.mean() - 0.5) < error


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_batches_equal_those_of_a_slow_and_obvious_implementation(tmp_path, encoding):
    size, side, count = 40, 27, 60
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (count, size, size, 3)).astype(np.uint8)
    examples = [
        source_types.Example(str(n), n % 2, lambda n=n: images[n]) for n in range(count)
    ]
    source = source_types.Source("noise", ("a", "b"), {"train": examples})
    noise = preparation.prepare_dataset(
        source, tmp_path / "n", size=size, encoding=encoding
    )
    found = batches(noise, last=3, batch_size=50, crop=side, crop_sharing=3)
    statistics, stored = noise.statistics(), records.open_records(noise, "train")
    axes = (0.1 * statistics.eigenvectors * statistics.stdevs).astype(np.float32)
    for epoch, (inputs, labels) in enumerate(found):  # an epoch is one step
        key = np.random.Philox(key=[0, epoch])
        order = np.random.Generator(key).permutation(count)[:50]
        place, mirror, color = (
            part.numpy() for part in augmentation.draw_epoch(0, epoch, count)
        )
        for row, index in enumerate(order):
            encoded, label = stored[int(index)]
            if encoding == "jpeg":
                image = tf.io.decode_jpeg(
                    encoded, dct_method="INTEGER_ACCURATE"
                ).numpy()
            else:
                image = np.array(list(encoded), np.uint8).reshape(size, size, 3)
            leader = order[row - row % 3]
            top, left = (place[leader] * np.float32(size - side + 1)).astype(int)
            expected = image[top : top + side, left : left + side]
            np.testing.assert_array_equal(inputs["image"][row], expected)
            assert (labels[row], inputs["mirror"][row]) == (label, mirror[leader])
        np.testing.assert_array_equal(inputs["shift"], color[order] @ axes.T)


def test_the_memory_of_a_batch_is_aligned_so_that_tensorflow_does_not_copy_it():
    assert input_pipeline._aligned_bytes(3, 5).ctypes.data % 64 == 0
    assert input_pipeline._aligned_bytes(3, 5).shape == (3, 5)


def test_missing_records_are_an_error_and_not_a_shorter_epoch(dataset):
    more = dataclasses.replace(dataset, counts={"train": COUNT + 100})
    with pytest.raises(ValueError, match=f"hold {COUNT} records, but .* {COUNT + 100}"):
        batches(more)


@pytest.fixture(scope="module")
def damaged(dataset, tmp_path_factory):
    """The dataset with a flipped bit in training images 4, 9 and validation image 2."""
    folder = tmp_path_factory.mktemp("damaged") / "numbered"
    shutil.copytree(dataset.path, folder)
    for split, indices in (("train", (4, 9)), ("validation", (2,))):
        (shard,) = folder.glob(f"{split}-*")
        content = bytearray(shard.read_bytes())
        for index in indices:
            content[content.index(numbered_image(index).tobytes()) + 100] ^= 1
        shard.write_bytes(content)
    return prepared_dataset.read_description(folder)


def test_a_damaged_record_stops_training_and_evaluation(damaged):
    with pytest.raises(tf.errors.OpError, match="train-.*record [49] is damaged"):
        batches(damaged, last=STEPS)
    with pytest.raises(tf.errors.OpError, match="validation-.*record 2 is damaged"):
        list(input_pipeline.evaluation_batches(damaged, "validation", batch_size=3))


def test_a_damaged_record_is_replaced_by_the_next_image_in_the_order(damaged, run):
    found = batches(damaged, damaged="skip")
    for order, (inputs, labels), (whole, _) in zip(
        np.repeat(full_orders(damaged), STEPS, axis=0), found, run, strict=True
    ):
        follower = dict(zip(order, np.roll(order, -1), strict=True))
        expected = []
        for number in numbers(whole):
            while number in (4, 9):
                number = follower[number]
            expected.append(number)
        assert numbers(inputs) == expected
        assert labels.tolist() == [number % 5 for number in expected]
        assert corners(inputs) == corners(whole)
        for key in ("mirror", "shift", "gain"):
            np.testing.assert_array_equal(inputs[key], whole[key])
    assert_same(batches(damaged, first=8, damaged="skip"), found[8:])
    part = batches(damaged, rows=(1, 3), damaged="skip")
    assert [n for inputs, _ in part for n in numbers(inputs)] == [
        n for inputs, _ in found for n in numbers(inputs)[1:3]
    ]


def full_orders(dataset):
    """The order of each of three epochs, including the images left over."""
    plan = input_pipeline._Plan(dataset, RECIPE, slice(0, BATCH), "skip")
    return [plan._draw_epoch(epoch)[0] for epoch in range(3)]


def test_training_is_an_error_if_every_record_is_damaged(damaged, monkeypatch):
    monkeypatch.setattr(records.Records, "read", lambda self, index: None)
    with pytest.raises(tf.errors.OpError, match="every record of the training split"):
        batches(damaged, last=1, damaged="skip")


def test_evaluation_leaves_damaged_records_out(damaged):
    found = input_pipeline.evaluation_batches(
        damaged, "validation", batch_size=4, damaged="skip"
    )
    seen = [
        (images[:, 0, 0, 2].numpy().tolist(), len(labels)) for images, labels in found
    ]
    assert seen == [([0, 1, 3], 3), ([4, 5, 6], 3)]
    alone = input_pipeline.evaluation_batches(
        damaged, "validation", batch_size=1, damaged="skip"
    )
    assert [len(labels) for _, labels in alone] == [1] * 6  # no batch is empty


@pytest.mark.long
@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
def test_resuming_among_1_280_000_records_reads_the_right_batch(
    tmp_path, capsys, encoding
):
    # The batch is tested; the time is only printed.
    count, shards = 1_280_000, 1000
    a_jpeg = records.encode_image(np.zeros((1, 1, 3), np.uint8), "jpeg")

    def pixel(n):
        return n.to_bytes(3, "little") if encoding == "raw" else a_jpeg

    for shard in range(shards):
        first = shard * count // shards
        record_files.write_shard(
            tmp_path / prepared_dataset.shard_name("train", shard, shards, encoding),
            [
                ("", record_files.Record(pixel(n), n))
                for n in range(first, (shard + 1) * count // shards)
            ],
            encoding=encoding,
            size=1,
        )
    accumulator = image_statistics.StatisticsAccumulator(1)
    for level in range(4):
        accumulator.add(np.full((1, 1, 3), level, np.uint8))
    tiny = prepared_dataset.Dataset(
        "tiny", 1, encoding, tuple("ab"), {"train": count}, tmp_path
    )
    prepared_dataset.write_description(tiny, accumulator.result())
    step = 7 * 10_000 + 1234
    start = time.monotonic()
    ((inputs, labels),) = batches(tiny, step, step + 1, crop=1, batch_size=128)
    with capsys.disabled():
        print(f"\nfirst batch after resuming: {time.monotonic() - start:.2f} s")
    order = np.random.Generator(np.random.Philox(key=[0, 7])).permutation(count)
    expected = order[1234 * 128 : 1235 * 128]
    assert labels.tolist() == expected.tolist()
    if encoding == "raw":
        pixels = inputs["image"][:, 0, 0].astype(int)
        assert (pixels @ [1, 256, 65536]).tolist() == expected.tolist()


@pytest.mark.parametrize("encoding", ["jpeg", "raw"])
@pytest.mark.parametrize(
    ("batch_size", "sizes"), [(3, [3, 3, 1]), (7, [7]), (1, [1] * 7), (100, [7])]
)
def test_evaluation_reads_every_whole_image_once_in_order(
    dataset, tmp_path, encoding, batch_size, sizes
):
    if encoding == "jpeg":
        dataset = prepare_numbered(tmp_path / "jpeg", encoding)
    found = [
        (images.numpy(), labels.numpy())
        for images, labels in input_pipeline.evaluation_batches(
            dataset, "validation", batch_size=batch_size
        )
    ]
    assert [len(labels) for _, labels in found] == sizes
    source = records.open_records(dataset, "validation")
    expected = [
        records.decode_image(source[n].encoded, SIZE, encoding) for n in range(7)
    ]
    np.testing.assert_array_equal(np.concatenate([i for i, _ in found]), expected)
    labels = np.concatenate([labels for _, labels in found])
    assert labels.tolist() == [number % 5 for number in range(7)]


def test_evaluation_of_a_missing_split_is_rejected(dataset):
    with pytest.raises(ValueError, match="no split 'test', only train, validation"):
        input_pipeline.evaluation_batches(dataset, "test", batch_size=2)


def test_records_keep_the_order_of_the_source(dataset):
    source = records.open_records(dataset, "validation")
    assert [source[i].label for i in range(7)] == [0, 1, 2, 3, 4, 0, 1]


FREED = """
import ctypes, resource
from alexnet_tf.data import input_pipeline

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.free.argtypes = [ctypes.c_void_p]
libc.memset.argtypes = [ctypes.c_void_p, ctypes.c_int, ctypes.c_size_t]
input_pipeline.keep_freed_memory()
for _ in range(3):  # three batches of 128 crops
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [libc.malloc(128 * 224 * 224 * 3) for _ in range(3)]
    for block in blocks:
        libc.memset(block, 1, 128 * 224 * 224 * 3)
    for block in reversed(blocks):
        libc.free(block)
    print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def test_a_batch_reuses_the_memory_of_an_earlier_one():
    done = programs.run("-c", FREED)
    assert done.returncode == 0, done.stderr
    first, *later = map(int, done.stdout.split())
    assert first > 10_000  # pages of 4 KiB
    assert max(later) < 1_000
