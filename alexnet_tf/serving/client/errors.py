"""How a request to a server fails."""


class ServerError(RuntimeError):
    """The server answered with an error, or did not answer.

    Attributes:
        retry: whether the same request may succeed if it is sent again.
    """

    def __init__(self, message: str, *, retry: bool = False):
        super().__init__(message)
        self.retry = retry

    def at(self, address: str, note: str = "") -> "ServerError":
        """The same error with the address of the server before its message."""
        return type(self)(f"{address}: {self}{note}", retry=self.retry)


class RejectedError(ServerError, ValueError):
    """The input was rejected, by the client itself or by the server.

    It is not an image, too large, or of a wrong type.
    """
