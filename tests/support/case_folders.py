"""Folders of images as people bring them, each made by a function of its own.

Every function writes into a folder that it is given and returns what should be opened.
"""

import os
import pathlib
import socket
import struct
import zlib

import numpy as np
from PIL import Image


def write_images(folder, count, brightness=0, suffix=".jpg"):
    """Writes `count` small noisy images, all different, into a folder that it makes."""
    folder = pathlib.Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(count):
        rng = np.random.default_rng([brightness, number])
        pixels = rng.integers(0, 40, (24, 30, 3)) + 15 * (brightness % 14)
        image = Image.fromarray(pixels.astype(np.uint8))
        kind = Image.registered_extensions().get(suffix.lower(), "JPEG")
        image.save(folder / f"{number:03}{suffix}", kind)


def write_classes(root, count, *class_names):
    """Writes `count` images into one folder per class; returns `root`."""
    for label, name in enumerate(class_names):
        write_images(pathlib.Path(root) / name, count, label)
    return pathlib.Path(root)


def write_splits(root, class_names, **counts):
    """Writes a folder per split, each with class folders of so many images."""
    for split, count in counts.items():
        write_classes(pathlib.Path(root) / split, count, *class_names)
    return pathlib.Path(root)


def split_lacks_a_class(root):
    """The validation split has no folder for class c."""
    write_classes(root / "train", 5, "a", "b", "c")
    write_classes(root / "val", 2, "a", "b")
    return root


def flat_splits(root):
    """ImageNet's layout: class folders for training, and images alone elsewhere."""
    write_classes(root / "train", 5, "n01440764", "n01443537")
    for split in ("val", "test"):
        write_images(root / split, 3)
    return root


def things_beside_classes(root):
    """A class folder beside the splits, and images beside the classes and the splits."""
    write_splits(root, "ab", train=5, val=2)
    write_images(root / "bird", 3)
    write_images(root / "train", 2)
    write_images(root, 1)
    return root


def two_of_one_name(root):
    """Two folders that are called images, with different classes."""
    write_classes(root / "A" / "images", 6, "a", "b")
    write_classes(root / "B" / "images", 6, "x", "y", "z")
    return root / "A" / "images", root / "B" / "images"


def small_classes(root, classes=40, each=3):
    """Many classes of few images."""
    return write_classes(root, each, *(f"class{n:02}" for n in range(classes)))


def system_folders(root):
    """Class folders among those that systems write beside and into them."""
    write_classes(root, 5, "a", "b")
    for folder in ("@eaDir", "__MACOSX/a", "lost+found", "$RECYCLE.BIN", ".git"):
        (root / folder).mkdir(parents=True)
    write_images(root / "System Volume Information", 1)
    write_images(root / "a" / "@eaDir" / "000.jpg", 1)
    write_images(root / "b" / ".ipynb_checkpoints", 1)
    (root / "__MACOSX" / "a" / "._000.jpg").touch()
    (root / "a" / "Thumbs.db").touch()
    return root


def odd_files(root):
    """Seven files in class b that are no images, whatever their names say."""
    write_classes(root, 6, "a", "b")
    folder = root / "b"
    (folder / "dangling.jpg").symlink_to("/nowhere/x.jpg")
    (folder / "loop.jpg").symlink_to("loop.jpg")
    (folder / "empty.jpg").touch()
    (folder / "folder.jpg").mkdir()
    (folder / "cut.jpg").write_bytes((folder / "000.jpg").read_bytes()[:300])
    os.mkfifo(folder / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as listening:
        # The path of a socket may not be long, so it is bound in its folder.
        here = os.getcwd()
        os.chdir(folder)
        listening.bind("socket.jpg")
        os.chdir(here)
    return root


def linked_folders(root):
    """A class with a link to a folder elsewhere, one to itself, and one to both."""
    write_classes(root / "images" / "train", 2, "a", "b")
    write_images(root / "elsewhere", 3, 7)
    (root / "images" / "train" / "a" / "more").symlink_to(root / "elsewhere")
    (root / "images" / "train" / "a" / "again").symlink_to(root / "elsewhere")
    (root / "images" / "train" / "a" / "deep").mkdir()
    (root / "images" / "train" / "a" / "deep" / "up").symlink_to("..")
    return root / "images"


def _chunk(kind, data):
    code = zlib.crc32(kind + data)
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", code)


def odd_chunks(root):
    """PNG files of sound pixels, with other chunks that a decoder could stumble over."""
    write_classes(root, 3, "a", "b")
    pixels = np.full((20, 16, 3), (9, 99, 200), np.uint8)
    rows = b"".join(b"\0" + row.tobytes() for row in pixels)
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 20, 8, 2, 0, 0, 0))
    body = _chunk(b"IDAT", zlib.compress(rows)) + _chunk(b"IEND", b"")
    long = zlib.compress(bytes(3_000_000))
    for name, chunk in {
        "text": _chunk(b"zTXt", b"comment\0\0" + zlib.compress(b"x" * 3_000_000)),
        "profile": _chunk(b"iCCP", b"profile\0\0" + long),
        "gamma": _chunk(b"gAMA", b"\0"),
        "exif": _chunk(b"eXIf", b"not a TIFF file"),
        "international": _chunk(b"iTXt", b"comment\0\1\0\0\0" + long),
        "time": _chunk(b"tIME", b"\xff" * 3),
        "unknown": _chunk(b"quUx", b"?"),
    }.items():
        path = root / "b" / f"{name}.png"
        path.write_bytes(b"\x89PNG\r\n\x1a\n" + header + chunk + body)
    return root
