"""TODO."""

import pathlib
from collections.abc import Sequence

from alexnet_tf.data import preparation, sources, verification
from alexnet_tf.runtime import options


def main(flags: options.Config, arguments: Sequence[str]) -> None:
    options.refuse_arguments(arguments)
    encoding = flags.encoding
    if encoding == "auto":
        encoding = "jpeg" if flags.size > 64 else "raw"
    output = pathlib.Path(
        flags.output or f"{flags.data_dir}/{sources.name_of(flags.source)}-{flags.size}"
    )
    workers = flags.workers or None
    if not (flags.verify and output.exists()):
        preparation.refuse_what_is_there(output)  # before archives are read for hours
        source = sources.open_source(
            flags.source,
            holdout=flags.holdout,
            data_dir=flags.data_dir,
            manual_dir=flags.manual_dir,
            checksums=flags.checksums,
        )
        dataset = preparation.prepare(
            source,
            output,
            size=flags.size,
            encoding=encoding,
            max_bad_files=flags.max_bad_files,
            workers=workers,
            beam_pipeline_options=flags.beam_pipeline_options,
        )
    if flags.verify:
        dataset = verification.verify(output, workers)
    counts = ", ".join(f"{n} {split}" for split, n in dataset.counts.items())
    stdevs = ", ".join(f"{s:.1f}" for s in dataset.statistics().stdevs)
    print(
        f"{dataset.path}: {counts} pictures of {dataset.size} x {dataset.size} pixels "
        f"({dataset.encoding}), {len(dataset.classes)} classes; standard deviations "
        f"along the colour axes {stdevs}{'; verified' if flags.verify else ''}"
    )


if __name__ == "__main__":
    options.run("prepare", main)
