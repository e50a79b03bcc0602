"""A path is one of this machine, that Python and TensorFlow take for the same file."""

import re
import subprocess
import sys

import pytest

from alexnet_tf.runtime import paths


@pytest.mark.parametrize(
    "path",
    ["data/mine", "a:b/c", "./gs://x", "/mnt/s3://x", "tfds:cats", "C:\\x", "~x/y"[1:]],
)
def test_a_path_that_merely_contains_a_colon_is_one_of_this_machine(path):
    assert paths.local(path) == path


@pytest.mark.parametrize(
    "path",
    [
        *("gs://bucket/run", "s3://bucket", "file:///tmp/x", "hdfs://host:9000/x"),
        *("http://host/x", "HTTPS://host", "git+ssh://host/x", "abfs.v2://x"),
    ],
)
def test_an_address_is_refused_by_its_scheme(path):
    scheme = path.partition("//")[0] + "//"
    message = (
        rf"^{re.escape(scheme)} is not supported.* copy the data here, or mount it"
    )
    with pytest.raises(ValueError, match=message):
        paths.local(path)


def test_a_tilde_names_a_home_folder_only_at_the_beginning(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert paths.local("~") == str(tmp_path)
    assert paths.local("~/runs/a~b") == f"{tmp_path}/runs/a~b"
    assert paths.local("runs/~") == "runs/~"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("", "the path is empty"),
        ("a\0b", "contains a control character"),
        ("a\n--seed=1", "contains a control character, such as a line break"),
        ("a\u2028b", "contains a control character"),
        ("~nobody-here/x", r"no home folder of ~nobody-here.*it is \./~nobody-here"),
        ("caf\udce9", "not in UTF-8"),
    ],
)
def test_what_cannot_be_a_path_is_refused_with_the_reason(path, message):
    with pytest.raises(ValueError, match=message):
        paths.local(path)


@pytest.mark.parametrize(("utf8_mode", "accepted"), [("0", False), ("1", True)])
def test_a_locale_in_which_tensorflow_would_take_another_file_is_named(
    utf8_mode, accepted
):
    done = subprocess.run(
        [
            *(sys.executable, "-c"),
            "import sys; from alexnet_tf.runtime import paths; paths.local(sys.argv[1])",
            "café",
        ],
        env={"LC_ALL": "C", "PYTHONCOERCECLOCALE": "0", "PYTHONUTF8": utf8_mode},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode == 0) is accepted
    assert accepted or "set PYTHONUTF8=1" in done.stderr


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        *(("runs/mine", "runs/mine"), ("/data", "/data"), ("/", "/")),
        ("/home/ada/runs/mine", "…/mine"),
        ("/scratch/ada/mine/best", "…/mine/best"),
        ("/scratch/ada/mine/checkpoints/step-20", "…/mine/checkpoints/step-20"),
        *(("/home/ada", "~"), ("/Users/ada/", "~"), ("~/mine", "…/mine")),
        ("/home/ada/best", "~/best"),
        *(("../ada/mine", "…/mine"), ("a/../../ada/mine", "…/mine")),
    ],
)
def test_of_a_path_elsewhere_the_last_part_is_shown(path, shown):
    assert paths.public(path) == shown


def test_the_home_of_this_process_is_not_named(monkeypatch):
    monkeypatch.setenv("HOME", "/vol/people/ada")
    assert paths.public("/vol/people/ada") == "~"
    assert paths.public("/vol/people/ada/mine") == "…/mine"


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("--dataset=/srv/ada/x --seed=1", "--dataset=…/x --seed=1"),
        ("folder:/srv/ada/x", "folder:…/x"),
        ("it's in '/srv/ada/x/model.json'.", "it's in '…/model.json'."),
        ("(/srv/ada/x): none, ../ada/y", "(…/x): none, …/y"),
        ("~/x and ~ada/runs/x", "…/x and …/x"),
        ("37.5 / 17.0 at 11/3 images/s", "37.5 / 17.0 at 11/3 images/s"),
        ("--tower_devices=/GPU:0,/GPU:1", "--tower_devices=/GPU:0,/GPU:1"),
        ("https://example.org/a/b runs/a/b", "https://example.org/a/b runs/a/b"),
    ],
)
def test_paths_within_a_text_are_shortened_and_nothing_else_is(text, shown):
    assert paths.without_places(text) == shown


def test_a_known_path_may_have_spaces():
    known = ["/srv/ada's/my data"]
    text = "no /srv/ada's/my data/a b/train.npy"
    assert paths.without_places(text, known) == "no …/my data/a b/train.npy"
