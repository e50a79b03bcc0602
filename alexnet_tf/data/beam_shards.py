"""Writes shards with Apache Beam, on whatever runner the options name.

TFDS runs Beam the same way for its own datasets.
"""

import dataclasses
import json
import pathlib
import shutil
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from alexnet_tf.data import image_folder, shards, source_types, tfds_source

# How each kind of examples is read from JSON.
_READERS: dict[str, Callable[[Mapping[str, Any]], Sequence[source_types.Example]]] = {
    "folder": image_folder.FolderExamples.from_json,
    "tfds": tfds_source.TfdsExamples.from_json,
}


def write_shards(
    jobs: Sequence[shards.Job], folder: pathlib.Path, options: str
) -> None:
    """Writes the shards of all jobs.

    Args:
        jobs: the shards to write.
        folder: where the jobs are passed to the workers. They must see it, and the
            source and the output, under the same paths.
        options: Beam's own options, separated by commas, such as
            "runner=FlinkRunner,flink_master=host:8081".

    Raises:
        RuntimeError: Apache Beam is not installed.
    """
    try:
        import apache_beam as beam
        from apache_beam.options import pipeline_options
    except ImportError as error:
        raise RuntimeError(
            "--beam_pipeline_options needs Apache Beam: pip install 'alexnet_tf[beam]'"
        ) from error
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    paths = [_write_job(job, folder) for job in jobs]
    flags = [f"--{option}" for option in options.split(",")]
    with beam.Pipeline(options=pipeline_options.PipelineOptions(flags)) as pipeline:
        _ = pipeline | beam.Create(paths) | beam.Reshuffle() | beam.Map(_run_job)


def _write_job(job: shards.Job, folder: pathlib.Path) -> str:
    """Writes a job into a file, which every worker can read; returns its path.

    The file is JSON: whoever can write into the folder can change which images are
    read, and cannot make the workers run anything.
    """
    kind, examples = _described(job.examples)
    described = {
        field.name: getattr(job, field.name) for field in dataclasses.fields(job)
    }
    described |= {
        "path": str(job.path.resolve()),
        "examples": {kind: examples},
        # All bad files are allowed here and counted at the end, because Beam's runners
        # would repeat a failing task again and again.
        "max_bad_files": len(job.examples),
    }
    path = folder.resolve() / f"{job.path.name}.json"
    path.write_text(json.dumps(described))
    return str(path)


def _described(examples: Sequence[source_types.Example]) -> tuple[str, dict[str, Any]]:
    """The kind of the examples, and what describes them in JSON."""
    if isinstance(examples, image_folder.FolderExamples):
        return "folder", examples.to_json()
    if isinstance(examples, tfds_source.TfdsExamples):
        return "tfds", examples.to_json()
    raise ValueError(
        f"Apache Beam prepares folders and TFDS datasets, not {type(examples).__name__}"
    )


def _run_job(path: str) -> None:
    described = json.loads(pathlib.Path(path).read_text())
    ((kind, examples),) = described["examples"].items()
    described |= {
        "path": pathlib.Path(described["path"]),
        "examples": _READERS[kind](examples),
    }
    shards.write_shard_of_job(shards.Job(**described), lambda: None)
