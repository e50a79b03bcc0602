"""The tests' stand-in for TensorFlow's server, which benchmarks ask."""

import contextlib
import pathlib
import sys
from collections.abc import Iterator

_ROOT = pathlib.Path(__file__).resolve().parents[2]


@contextlib.contextmanager
def server(versions: pathlib.Path) -> Iterator[tuple[str, int]]:
    """Serves a folder of model versions until the block ends.

    Yields the address for gRPC, and the number of the process.
    """
    sys.path.insert(0, str(_ROOT))
    from tests.support import servers

    # Its folder of versions has the name of the model.
    running = servers.Server(
        versions.parent, "--model_name=alexnet", f"--model_base_path={versions}"
    )
    try:
        yield running.grpc, running.process.pid
    finally:
        running.process.kill()
        running.process.wait()
