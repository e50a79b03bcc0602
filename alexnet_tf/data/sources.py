"""The sources of images by their names."""

import pathlib

from alexnet_tf.data import archives, image_folder, source_types, tfds_source


def name_of(specification: str) -> str:
    """The name of the source that `specification` is of, without opening it."""
    kind, _, rest = specification.partition(":")
    if specification in ("garments", *archives.ARCHIVES):
        return specification
    if kind == "tfds" and rest:
        return rest.replace("/", "-")
    if kind == "folder" and rest:
        return pathlib.Path(rest).expanduser().resolve().name
    raise ValueError(
        "a source is garments, imagenet2012, ilsvrc2010, tfds:NAME or folder:/path, "
        f"got {specification!r}"
    )


def open_source(
    specification: str,
    *,
    holdout: float = 0.1,
    data_dir: str = "data",
    manual_dir: str = "",
    checksums: bool = False,
) -> source_types.Source:
    """The source that `specification` (see `name_of`) names.

    Args:
        holdout: the part of a flat folder that becomes its validation split.
        data_dir: TFDS keeps its own files under `data_dir`/tfds.
        manual_dir: where archives lie that only the user can download; default
            `data_dir`/tfds/downloads/manual.
        checksums: read such archives through before anything is made of them.
    """
    name_of(specification)
    kind, _, rest = specification.partition(":")
    if kind == "folder":
        return image_folder.open_folder(pathlib.Path(rest).expanduser(), holdout)
    return tfds_source.open_tfds(rest or kind, data_dir, manual_dir, checksums)
