"""Writes shards with Apache Beam, on whatever runner the options name.

TFDS runs Beam the same way for its own datasets.
"""

import dataclasses
import pathlib
import pickle
import shutil
from collections.abc import Sequence

from alexnet_tf.data import shards


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
    """Writes a job into a file, which every worker can read; returns its path."""
    # All bad files are allowed here and counted at the end, because Beam's runners
    # would repeat a failing task again and again.
    job = dataclasses.replace(
        job, path=job.path.resolve(), max_bad_files=len(job.examples)
    )
    path = folder.resolve() / f"{job.path.name}.pickle"
    path.write_bytes(pickle.dumps(job))
    return str(path)


def _run_job(path: str) -> None:
    job = pickle.loads(pathlib.Path(path).read_bytes())
    shards.write_shard_of_job(job, lambda: None)
