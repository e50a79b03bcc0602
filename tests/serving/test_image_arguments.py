"""Which files the arguments and the lists of `predict` name."""

import io
import os
import re
import sys
import types

import pytest

from alexnet_tf.serving import image_arguments


@pytest.fixture
def photos(tmp_path, monkeypatch):
    """A folder with images, other files, a hidden file and a folder of a system."""
    monkeypatch.chdir(tmp_path)
    for name in (
        *(
            "photos/b.JPG",
            "photos/a.png",
            "photos/deep/er/c.webp",
            "photos/.hidden.png",
        ),
        *("photos/notes.txt", "photos/deep/list.csv", "photos/@eaDir/thumb.jpg"),
        "other/d.gif",
    ):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    return tmp_path


def files_of(*arguments, **options):
    return image_arguments.find_images(arguments, **options).files


def test_a_folder_stands_for_its_images_at_any_depth_in_order(photos):
    found = image_arguments.find_images(["photos"])
    assert found.files == ["photos/a.png", "photos/b.JPG", "photos/deep/er/c.webp"]
    assert found.notes == (
        "ignored 2 files not named as images: 1 .csv, 1 .txt",
        "ignored system folders: 1 @eaDir",
        "ignored 1 hidden file or folder",
    )


def test_arguments_keep_their_order(photos):
    assert files_of("other/d.gif", "photos/deep", "photos/a.png") == [
        *("other/d.gif", "photos/deep/er/c.webp", "photos/a.png")
    ]


def test_a_named_file_is_used_whatever_its_name_is(photos):
    assert files_of("photos/notes.txt") == ["photos/notes.txt"]


def test_a_missing_image_is_a_bad_file_and_anything_else_missing_is_refused(photos):
    assert files_of("absent.jpeg") == ["absent.jpeg"]
    for name in ("absent", "absent/", "photos/absent.txt"):
        with pytest.raises(
            ValueError, match=f"^{name}: there is no such file or folder"
        ):
            files_of("photos", name)


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("photos/*.png", ["photos/a.png"]),
        ("photos/[ab].*", ["photos/a.png", "photos/b.JPG"]),
        ("ph*/**/*.webp", ["photos/deep/er/c.webp"]),
        ("*/?.???", ["other/d.gif", "photos/a.png", "photos/b.JPG"]),
        ("photos/@ea*/*", None),
        ("photos/@eaDir/*", ["photos/@eaDir/thumb.jpg"]),
        # Folders that match are walked; a file is used once.
        ("photos/*", ["photos/a.png", "photos/b.JPG", "photos/deep/er/c.webp"]),
        ("photos/**", ["photos/a.png", "photos/b.JPG", "photos/deep/er/c.webp"]),
    ],
)
def test_a_quoted_pattern_stands_for_the_images_that_match(photos, pattern, expected):
    if expected is None:
        with pytest.raises(ValueError, match="nothing matches"):
            files_of(pattern)
    else:
        assert sorted(files_of(pattern)) == expected


def test_the_other_files_that_a_pattern_matches_are_counted(photos):
    found = image_arguments.find_images(["photos/*.*"])
    assert "ignored 1 file not named as images: 1 .txt" in found.notes


@pytest.mark.parametrize("pattern", ["photos/*", "photos/**", "photos/**/*"])
def test_what_lies_in_folders_that_a_pattern_matches_is_counted_once(photos, pattern):
    found, folder = map(image_arguments.find_images, ([pattern], ["photos"]))
    # A pattern does not match hidden files of its own folder.
    assert found.notes[:2] == folder.notes[:2]
    assert found.notes[:2] == (
        "ignored 2 files not named as images: 1 .csv, 1 .txt",
        "ignored system folders: 1 @eaDir",
    )
    assert sorted(found.files) == sorted(folder.files)


def test_a_file_whose_name_looks_like_a_pattern_is_itself(photos):
    (photos / "a[1].png").write_bytes(b"x")
    (photos / "a1.png").write_bytes(b"x")
    assert files_of("a[1].png") == ["a[1].png"]


def test_what_names_no_image_is_refused(photos):
    (photos / "empty").mkdir()
    with pytest.raises(ValueError, match=r"^empty has no images \(\.bmp, "):
        files_of("photos", "empty")
    with pytest.raises(ValueError, match=r"^p\*\.tiff: nothing matches this pattern"):
        files_of("p*.tiff")
    with pytest.raises(ValueError, match=r"but photos/notes\.txt by other names"):
        files_of("photos/*.txt")


def test_a_file_is_used_once_however_it_is_written(photos):
    found = image_arguments.find_images(
        ["photos/a.png", "./photos//a.png", str(photos / "photos/a.png"), "photos"]
    )
    assert found.files == ["photos/a.png", "photos/b.JPG", "photos/deep/er/c.webp"]
    assert found.notes[-1] == "1 file is named more than once, and is used once"


def test_two_folders_behind_a_link_are_not_taken_for_one(photos):
    """x/../a.png lies beside what x leads to, not beside x."""
    (photos / "elsewhere/inner").mkdir(parents=True)
    (photos / "x").symlink_to("elsewhere/inner")
    for folder in (photos, photos / "elsewhere"):
        (folder / "a.png").write_bytes(b"x")
    assert files_of("x/../a.png", "a.png") == ["x/../a.png", "a.png"]


def test_a_list_has_one_path_per_line(photos):
    names = ["photos/a.png", "with space.jpg", " leading.png", "absent", "#1.png"]
    text = "\ufeff" + "\r\n".join(names[:2]) + "\n\n" + "\n".join(names[2:])
    (photos / "list.txt").write_bytes(text.encode() + b"\ncaf\xe9.png\n")
    found = files_of("other/d.gif", images_from="list.txt")
    assert found == ["other/d.gif", *names, os.fsdecode(b"caf\xe9.png")]


def test_a_list_may_come_from_standard_input_or_a_pipe(photos, monkeypatch):
    stream = types.SimpleNamespace(buffer=io.BytesIO(b"b.png\na.png"))
    monkeypatch.setattr(sys, "stdin", stream)
    assert files_of(images_from="-") == ["b.png", "a.png"]
    reading, writing = os.pipe()
    os.write(writing, b"c.png\n")
    os.close(writing)
    assert files_of(images_from=f"/dev/fd/{reading}") == ["c.png"]
    os.close(reading)


@pytest.mark.parametrize("content", [b"", b"\n\r\n", b"a.png\0b.png\0"])
def test_what_is_not_a_list_of_paths_is_refused(photos, content):
    (photos / "list").write_bytes(content)
    problem = "has a NUL byte" if b"\0" in content else "names no images"
    with pytest.raises(ValueError, match=f"^list .*{problem}.* one path per line"):
        files_of(images_from="list")


def test_a_list_that_cannot_be_read_is_an_error_with_its_name(photos):
    for name in ("absent", "photos"):
        with pytest.raises(OSError, match=name):
            files_of(images_from=name)


def test_a_home_folder_is_found_and_another_machine_is_refused(photos, monkeypatch):
    monkeypatch.setenv("HOME", str(photos))
    assert files_of("~/other/*.gif") == [str(photos / "other/d.gif")]
    for address in ("gs://bucket/a.png", "https://example.com/a.png"):
        kind = re.escape(address.partition("//")[0])
        with pytest.raises(ValueError, match=f"^{kind}// is not supported"):
            files_of(address)


def test_a_link_that_leads_nowhere_is_an_error_and_a_loop_of_folders_is_walked_once(
    photos,
):
    (photos / "photos/loop").symlink_to(photos / "photos")
    assert len(files_of("photos")) == 3
    (photos / "photos/gone").symlink_to("nowhere")
    with pytest.raises(ValueError, match="photos/gone: a link to nowhere"):
        files_of("photos")
