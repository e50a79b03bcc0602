"""Makes any single call that changes the file system fail, or the last that happens.

`faults.c` is loaded before the C library. It counts the calls that open files for
writing, write, sync, rename, link, create or remove below one folder, those of
TensorFlow and NumPy too, and does one of these at the N-th of them:

    fail    the call fails once, as a bad sector makes it fail
    full    from then on every call fails that needs space, as on a full disk
    stop    from then on every call fails, so that the disk is as a kill leaves it
    power   as `stop`, and then everything is undone that was not synced: the bytes of
            files, and the names in folders
    bytes   as `power`, but the names are kept, as a journal of names alone keeps them

The last two work on a journal of what was done. Bytes are lost from the size on that a
file had when it was last synced. A new, removed or changed name is lost unless its
folder was synced later; a second name of each removed file makes that possible.
"""

import contextlib
import ctypes
import errno
import itertools
import os
import pathlib
import shutil
import subprocess
from collections.abc import Callable

import pytest

from alexnet_tf.runtime import writers

MODES = ("fail", "full", "stop", "power", "bytes")

# The numbers in faults.c. `EXIT` ends the process instead, with status 86.
_FAIL_ONCE, FULL, _FROZEN, EXIT = 1, 2, 3, 4
_NUMBERS = {"fail": _FAIL_ONCE, "full": FULL}
_ERRORS = {"full": errno.ENOSPC}


class BrokenError(AssertionError):
    """A fault left something that is neither the old nor the new, or stopped the next."""


def build(folder: pathlib.Path) -> pathlib.Path:
    """Compiles the library with the compiler that builds the ops; returns its path."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc")
    library = folder / "faults.so"
    source = pathlib.Path(__file__).with_name("faults.c")
    command = ["gcc", "-shared", "-fPIC", "-O1", "-Wall", "-Wextra", "-Werror"]
    subprocess.run([*command, source, "-o", library, "-ldl", "-lpthread"], check=True)
    return library


def preloaded(library: pathlib.Path, **variables: object) -> dict[str, str]:
    """The environment of a process that loads the library.

    `variables` are those that `ArmFromEnvironment` reads, without FAULTS_.
    """
    given = {f"FAULTS_{name}".upper(): str(value) for name, value in variables.items()}
    return {**os.environ, "LD_PRELOAD": str(library), **given}


def at_every_point(
    folder: pathlib.Path,
    mode: str,
    *,
    prepare: Callable[[pathlib.Path], None],
    act: Callable[[pathlib.Path], None],
    check: Callable[[pathlib.Path, bool, bool], None],
    stride: int = 1,
) -> int:
    """Lets `act` meet a fault at each point; returns the number of points.

    Each time `prepare` makes the folder anew, `act` changes it until it meets the
    fault, and `check` looks at what is left. Then `act` is done once more without
    faults, as the next process would, and `check` must find it done.

    Args:
        folder: an empty folder, in which a folder of the caller's own is made.
        mode: one of MODES.
        prepare, act: called with that folder.
        check: called with it, with whether `act` must have been completed, and with
            whether it met no fault, so that nothing else may be left.
        stride: leave points out, and begin with this one.
    """
    for point in itertools.count(stride, stride):
        place, graves = folder / "place", folder / "graves"
        for each in (place, graves):
            shutil.rmtree(each, ignore_errors=True)
            each.mkdir()
        _be_another_process()
        prepare(place)
        _be_another_process()
        sizes = sizes_in(place)
        with _armed(place, mode, point, folder / "journal", graves) as counted:
            failed = True
            with contextlib.suppress(Exception):
                act(place)
                failed = False
        reached = counted[0] >= point
        if mode in ("power", "bytes"):
            lose_power(place, folder / "journal", sizes, keep_names=mode == "bytes")
        try:
            check(place, not failed, False)
            _be_another_process()
            act(place)
            check(place, True, True)
        except Exception as error:
            raise BrokenError(f"call {point}: {error!r}") from error
        if not reached:
            return point // stride - 1
    raise AssertionError("unreachable")


def _be_another_process() -> None:
    """Lets what this process wrote before look as if it came from one that has ended."""
    _be_another_process.count += 1
    name = f"host-00000000-1-1-{_be_another_process.count}"
    writers.this_process = lambda: name
    writers.is_alive = lambda writer: writer == name


_be_another_process.count = 0


@contextlib.contextmanager
def _armed(place, mode, point, journal, graves):
    """Arms the library inside the block; yields a list for the number of calls."""
    library = ctypes.CDLL(None)
    library.faults_disarm.restype = ctypes.c_long
    counted: list[int] = []
    library.faults_arm(
        os.fsencode(place),
        _NUMBERS.get(mode, _FROZEN),
        _ERRORS.get(mode, errno.EIO),
        ctypes.c_long(point),
        os.fsencode(journal),
        os.fsencode(graves),
    )
    try:
        yield counted
    finally:
        counted.append(library.faults_disarm())


def sizes_in(place: pathlib.Path) -> dict[int, int]:
    """The sizes of the files by inode, all of which count as synced."""
    found = [path.lstat() for path in place.rglob("*") if path.is_file()]
    return {status.st_ino: status.st_size for status in found}


def lose_power(
    place: pathlib.Path,
    journal: pathlib.Path,
    synced: dict[int, int],
    *,
    keep_names: bool = False,
) -> None:
    """Undoes what the journal says was done below `place` and not synced.

    `synced` is what `sizes_in` returned before.
    """
    entries = [line.split("\t") for line in journal.read_text().splitlines()]
    written = set()
    for (before, *_), (what, *values) in itertools.pairwise([[""], *entries]):
        if what == "written":
            inode, size = map(int, values)
            written.add(inode)
            synced[inode] = 0 if before == "create" else min(synced.get(inode, 0), size)
        elif what == "synced":
            inode, size = map(int, values)
            synced[inode] = size
    if not keep_names:
        for number, entry in reversed(list(enumerate(entries))):
            _undo_unless_synced(entry, entries[number:])
    for path in place.rglob("*"):
        inode = path.lstat().st_ino
        if path.is_file() and inode in written:
            os.truncate(path, synced[inode])


def _undo_unless_synced(entry, later) -> None:
    what, *values = entry
    if what not in ("create", "mkdir", "rename", "unlink", "rmdir"):
        return
    path = pathlib.Path(values[1] if what == "rename" else values[0])
    if any(each[:2] == ["folder", str(path.parent)] for each in later):
        return
    if what == "create":
        path.unlink(missing_ok=True)
    elif what == "mkdir":
        shutil.rmtree(path, ignore_errors=True)
    elif what == "rmdir":
        if path.parent.exists():
            path.mkdir()
    elif what == "unlink":
        _restore(values[1], path)
    else:
        source, _, grave = values
        if path.exists() and pathlib.Path(source).parent.exists():
            path.rename(source)
        _restore(grave, path)


def _restore(grave: str, path: pathlib.Path) -> None:
    if grave and path.parent.exists():
        os.link(grave, path)
