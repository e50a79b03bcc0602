"""Apache Beam writes the same shards as worker processes do."""

import json
import pickle
import sys

import pytest

from alexnet_tf.data import (
    beam_shards,
    image_decoding,
    preparation,
    sources,
    tfds_source,
)
from alexnet_tf.models import background as backgrounds
from tests.support import case_folders, image_sources

RUNNER = "runner=DirectRunner"


def open_images(root):
    case_folders.write_classes(root / "train", 12, "a", "caf\u00e9")
    case_folders.write_classes(root / "test", 3, "a", "cafe\u0301")
    return sources.open_source(f"folder:{root}")


def test_apache_beam_writes_the_same_bytes(tmp_path, small_shards):
    (tmp_path / "images" / "train" / "a").mkdir(parents=True)
    (tmp_path / "images" / "train" / "a" / "005.png").symlink_to("/nowhere")
    source = open_images(tmp_path / "images")
    options = {"size": 8, "encoding": "jpeg", "max_bad_files": 1}
    here = preparation.prepare_dataset(source, tmp_path / "here", **options)
    beam = preparation.prepare_dataset(
        source, tmp_path / "beam", **options, beam_pipeline_options=RUNNER
    )
    assert beam.class_counts == {"train": [12, 12], "test": [3, 3]}
    assert image_sources.file_digests(beam.path) == image_sources.file_digests(
        here.path
    )


def test_apache_beam_reads_tfds(tmp_path):
    source = sources.open_source("garments", data_dir=str(tmp_path))
    source = type(source)(
        source.name,
        source.classes,
        {split: examples[5:25] for split, examples in source.splits.items()},
    )
    digests = []
    for beam in (None, RUNNER):
        dataset = preparation.prepare_dataset(
            source,
            tmp_path / str(beam),
            size=8,
            encoding="raw",
            beam_pipeline_options=beam,
        )
        digests.append(image_sources.file_digests(dataset.path))
    assert dataset.counts == {"train": 20, "test": 20}
    assert digests[0] == digests[1]


def test_apache_beam_counts_bad_files_too(tmp_path, small_shards):
    for name in ("900.jpg", "901.jpg"):
        path = tmp_path / "images" / "train" / "a" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    source = open_images(tmp_path / "images")
    with pytest.raises(
        image_decoding.BadImageError, match="901.jpg: .*--max_bad_files"
    ):
        preparation.prepare_dataset(
            source,
            tmp_path / "beam",
            size=8,
            encoding="jpeg",
            max_bad_files=1,
            beam_pipeline_options=RUNNER,
        )


def test_jobs_are_exchanged_without_pickle(tmp_path, small_shards, monkeypatch):
    exchanged = []
    run = beam_shards._run_job

    def read_only(path):
        exchanged.append(path)
        with monkeypatch.context() as patch:
            patch.setattr(
                pickle, "loads", lambda data: pytest.fail("a pickle was read")
            )
            run(path)

    source = open_images(tmp_path / "images")
    folder = tmp_path / "jobs"
    for name in ("complete", "notes"):
        (tmp_path / name).mkdir()
    prepared = preparation._Preparation(
        source, tmp_path, 8, "jpeg", backgrounds.WHITE, "squash", max_bad_files=0
    )
    jobs = [job for split in prepared._jobs.values() for job in split]
    folder.mkdir()
    for job in jobs:
        read_only(beam_shards._write_job(job, folder))
    assert len(exchanged) == len(list(folder.iterdir())) == len(jobs)
    for path in folder.iterdir():
        described = json.loads(path.read_text())
        assert list(described["examples"]) == ["folder"]
        assert (tmp_path / "complete" / path.stem).stat().st_size


def test_examples_that_cannot_be_written_as_json_are_refused(tmp_path):
    with pytest.raises(ValueError, match="Apache Beam prepares folders and TFDS data"):
        preparation.prepare_dataset(
            image_sources.make_source([image_sources.example(0)]),
            tmp_path / "beam",
            size=8,
            encoding="raw",
            beam_pipeline_options=RUNNER,
        )


def test_tfds_examples_are_the_same_after_json():
    examples = tfds_source.TfdsExamples("x/train", "/data/x", "train", range(3, 9))
    described = json.loads(json.dumps(examples.to_json()))
    assert tfds_source.TfdsExamples.from_json(described) == examples


def test_without_apache_beam_the_error_says_how_to_install_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "apache_beam", None)
    with pytest.raises(RuntimeError, match=r"pip install 'alexnet_tf\[beam\]'"):
        preparation.prepare_dataset(
            image_sources.make_source([image_sources.example(0)]),
            tmp_path / "beam",
            size=8,
            encoding="raw",
            beam_pipeline_options=RUNNER,
        )
