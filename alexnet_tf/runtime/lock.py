"""One process at a time in a folder."""

import contextlib
import fcntl
import os
import pathlib
from collections.abc import Iterator


@contextlib.contextmanager
def exclusive(folder: str | os.PathLike[str], advice: str) -> Iterator[None]:
    """Makes `folder` and holds it; where another process does, raises with `advice`.

    The lock ends with the process, however that ends.
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
