"""What the client needs from a protocol."""

from collections.abc import Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

# Arrays, or lists of encoded images, by the name of the signature's input.
Inputs = Mapping[str, Any]


class Scored(NamedTuple):
    """The best classes of one image, best first, and their probabilities."""

    classes: list[str]
    scores: list[float]


class Transport(Protocol):
    """A connection to one model on one server.

    `address` is how errors name the server. `through()` is what an error adds if a
    proxy stands before the server, else "".

    All methods raise RejectedError if the input is bad and ServerError for every other
    failure.
    """

    address: str

    def through(self) -> str: ...

    def predict(self, signature: str, inputs: Inputs) -> dict[str, np.ndarray]:
        """Calls a signature by the Predict API; returns its outputs by name."""
        ...

    def classify_examples(self, images: list[bytes]) -> list[Scored]:
        """Calls the signature `classify` by the Classify API, for encoded images."""
        ...

    def close(self) -> None:
        """Closes the connections."""
        ...
