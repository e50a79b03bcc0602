"""How a request to a server fails."""


class ServerError(RuntimeError):
    """The server answered with an error, or did not answer.

    Attributes:
        retry: whether the same request may succeed if it is sent again.
    """

    def __init__(self, message: str, *, retry: bool = False):
        super().__init__(message)
        self.retry = retry


class RejectedError(ServerError, ValueError):
    """The server rejected the input: not an image, too large, or of a wrong type."""
