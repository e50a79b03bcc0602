"""Files that are classified by a server: what is sent together, and what is held."""

import contextlib
import threading
import weakref

import pytest

from alexnet_tf.data import image_decoding
from alexnet_tf.runtime import cores
from alexnet_tf.serving import classification
from alexnet_tf.serving import client as clients


@contextlib.contextmanager
def asking(monkeypatch, answer, **options):
    """A classifier whose server gives `answer` for the list of a request's images."""
    monkeypatch.setattr(
        clients.Client, "classify_each", lambda client, images: answer(images)
    )
    with classification.server_classifier("http://localhost:1", **options) as made:
        yield made


def read(file):
    if file.startswith("bad"):
        raise image_decoding.BadImageError(f"{file}: not a readable image")
    return file.encode()


def scored(images):
    return [clients.Scored([image.decode()], [1.0]) for image in images]


def test_files_are_sent_in_batches_without_the_bad_ones_and_answered_in_order(
    monkeypatch,
):
    monkeypatch.setattr(classification, "_read_for_server", read)
    files, sent = [*"abc", "bad1", *"def", "bad2", "bad3", "bad4", "g"], []

    def answer(images):
        sent.append(b"".join(images).decode())
        return scored(images)

    with asking(monkeypatch, answer, batch_size=3) as made:
        found = list(made.answers(files))
    assert [file for file, _ in found] == files
    for file, answered in found:
        if file.startswith("bad"):
            assert isinstance(answered, image_decoding.BadImageError)
        else:
            assert answered == ([file], [1.0])
    assert sorted(sent) == ["abc", "de", "f", "g"]


def test_a_server_that_fails_fails_the_files_of_its_request_and_no_others(monkeypatch):
    monkeypatch.setattr(classification, "_read_for_server", read)

    def answer(images):
        if b"d" in images:
            raise clients.ServerError("no answer")
        return scored(images)

    with asking(monkeypatch, answer, batch_size=3) as made:
        found = dict(made.answers([*"abc", "d", "bad1", "e", "f"]))
    assert isinstance(found["d"], clients.ServerError)
    assert isinstance(found["e"], clients.ServerError)
    assert isinstance(found["bad1"], image_decoding.BadImageError)
    assert [found[file].classes for file in "abcf"] == [["a"], ["b"], ["c"], ["f"]]


@pytest.mark.parametrize("count", [60, 600])
def test_not_all_images_are_held_however_many_there_are(monkeypatch, count):
    alive, most, lock = weakref.WeakSet(), 0, threading.Lock()

    class Image:
        pass

    def read_one(file):
        nonlocal most
        image = Image()
        with lock:
            alive.add(image)
            most = max(most, len(alive))
        return image

    monkeypatch.setattr(classification, "_read_for_server", read_one)
    one = clients.Scored(["x"], [1.0])
    size, in_flight = 5, 2
    with asking(
        monkeypatch,
        lambda images: [one] * len(images),
        batch_size=size,
        in_flight=in_flight,
    ) as made:
        assert len(list(made.answers(map(str, range(count))))) == count
    # In flight, just answered, about to be sent, and being read.
    assert size < most <= (in_flight + 3) * size + cores.usable_cores()
