"""Opens a source of images by its name, as `--source` and `--dataset` give it.

A specification is one of:

    garments            the images of Fashion-MNIST in this package
    imagenet2012        ILSVRC-2012, from archives that the user downloads
    ilsvrc2010          ILSVRC-2010, likewise
    tfds:NAME           an image classification dataset of TensorFlow Datasets
    folder:/path        a folder with one subfolder per class
"""

import pathlib

from alexnet_tf.data import archives, image_folder, source_types, tfds_source
from alexnet_tf.runtime import suggestions


def name_of(specification: str) -> str:
    """The name of the source that `specification` refers to, without opening it.

    Raises:
        ValueError: it is not one of the forms above.

    Example:
        >>> name_of("tfds:horses_or_humans"), name_of("tfds:cats/small")
        ('horses_or_humans', 'cats-small')
    """
    kind, _, rest = specification.partition(":")
    if specification in ("garments", *archives.ARCHIVES):
        return specification
    if kind == "tfds" and rest:
        return rest.replace("/", "-")
    if kind == "folder" and rest:
        return pathlib.Path(rest).expanduser().resolve().name
    if specification and pathlib.Path(specification).expanduser().is_dir():
        hint = f". For the images in that folder: folder:{specification}"
    else:
        known = ("garments", *archives.ARCHIVES)
        hint = suggestions.did_you_mean(specification, known)
    raise ValueError(
        "a source is garments, imagenet2012, ilsvrc2010, tfds:NAME or folder:/path, "
        f"got {specification!r}{hint}"
    )


def open_source(
    specification: str,
    *,
    holdout: float = 0.1,
    data_dir: str = "data",
    manual_dir: str | None = None,
    checksums: bool = False,
) -> source_types.Source:
    """Opens the source that `specification` names; builds a TFDS dataset on first use.

    Args:
        specification: one of the forms above.
        holdout: the fraction of a folder without splits that becomes its validation
            split.
        data_dir: TFDS keeps its own files in `data_dir`/tfds.
        manual_dir: the folder of the archives that only the user can download; by
            default `data_dir`/tfds/downloads/manual.
        checksums: compare the digests of such archives before reading them.

    Raises:
        ValueError: the specification, the folder or an archive is not as expected.
        FileNotFoundError: the folder does not exist.

    Example:
        >>> open_source("folder:/missing")
        Traceback (most recent call last):
            ...
        FileNotFoundError: ...
    """
    name_of(specification)
    kind, _, rest = specification.partition(":")
    if kind == "folder":
        return image_folder.open_folder(pathlib.Path(rest).expanduser(), holdout)
    return tfds_source.open_tfds(rest or kind, data_dir, manual_dir, checksums)


def identify(specification: str, data_dir: str = "data") -> tuple[str, str | None]:
    """The specification as it is resolved, and the fingerprint of the source now.

    They are those of `source_types.Source`, without building a TFDS dataset: if it is
    not built, its fingerprint is None.

    Raises:
        ValueError, FileNotFoundError: as `open_source`.
    """
    name_of(specification)
    kind, _, rest = specification.partition(":")
    if kind == "folder":
        source = open_source(specification)
        return source.specification, source.fingerprint
    return tfds_source.identify(rest or kind, data_dir)


def refuse_unbuilt(specification: str, data_dir: str = "data") -> None:
    """Raises ValueError if opening the source would build a TFDS dataset first."""
    name_of(specification)
    kind, _, rest = specification.partition(":")
    if kind != "folder":
        tfds_source.refuse_unbuilt(rest or kind, data_dir)
