"""A lock on a folder, so that only one process at a time writes into it."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def exclusive(folder: str | os.PathLike[str], advice: str) -> Iterator[None]:
    """Creates `folder` if needed and locks it until the block ends.

    The lock is held on the file `lock` inside the folder. The operating system releases
    it when the process ends, even after `kill -9`, so a stale file never blocks anyone.

    Args:
        folder: the folder to lock.
        advice: what the user can do if another process holds the lock. It ends the
            error message, such as "choose another --output".

    Raises:
        ValueError: another process holds the lock.

    Example:
        >>> with exclusive("runs/first", "choose another --run_dir"):
        ...     pass
    """
    path = pathlib.Path(folder)
    path.mkdir(parents=True, exist_ok=True)
    with (path / "lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise ValueError(
                f"another process is writing into {folder}: {advice}"
            ) from None
        yield
