"""Files are read in threads, in order, and no more of them than two batches."""

import threading
import weakref

import pytest

from alexnet_tf.runtime import cores, read_ahead


class Read:
    """Stands for a decoded image."""


def test_batches_are_in_order_and_an_error_takes_the_place_of_its_file():
    def read(file):
        if file in "bg":
            raise OSError(file)
        return file.upper()

    found = list(read_ahead.in_batches("abcdefg", read, 3))
    assert [[file for file, _ in batch] for batch in found] == [
        *(["a", "b", "c"], ["d", "e", "f"], ["g"])
    ]
    for file, result in (each for batch in found for each in batch):
        if file in "bg":
            assert isinstance(result, OSError)
        else:
            assert result == file.upper()
    assert list(read_ahead.in_batches([], read, 3)) == []


def test_the_next_batch_is_read_while_one_is_used():
    read = {number: threading.Event() for number in range(6)}
    batches = read_ahead.in_batches(range(6), lambda n: read[n].set(), 3)
    next(batches)
    assert all(each.wait(60) for each in read.values())
    batches.close()


@pytest.mark.parametrize("count", [40, 400])
def test_not_all_images_are_held_however_many_there_are(count):
    alive, most, lock = weakref.WeakSet(), 0, threading.Lock()

    def read(file):
        nonlocal most
        image = Read()
        with lock:
            alive.add(image)
            most = max(most, len(alive))
        return image

    size = 8
    for batch in read_ahead.in_batches(range(count), read, size):
        assert len(batch) == size
        del batch
    assert size < most <= 3 * size + cores.usable_cores()


def test_a_caller_that_stops_leaves_no_threads():
    before = threading.active_count()
    batches = read_ahead.in_batches(range(1000), str, 5)
    next(batches)
    batches.close()
    assert threading.active_count() == before
