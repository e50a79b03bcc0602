"""What stands between the client and a server: a proxy, or another protocol.

A server on this machine is asked directly, whatever proxy the environment names. For
any other host the proxy is used as usual, and named in every error, because the error
may be the proxy's own. If a connection fails, the server is asked which protocol it
speaks, because each of the four fails in its own cryptic way at the port of another.
"""

import ipaddress
import os
import socket
import ssl
import urllib.parse

_PROBE_S = 2.0  # of each of the three connections that find out the protocol

# By the scheme that names them to `Client`.
PROTOCOLS = {
    "": "gRPC",
    "grpcs": "gRPC with TLS",
    "http": "HTTP",
    "https": "HTTPS",
}

# What to do if a connection is refused, which every system reports in its own words.
NOTHING_LISTENS = (
    "no server listens at this port. If one is starting, wait until it is ready; "
    "tools/serving/serve.sh EXPORT starts one, and prints when it is"
)

# What begins a connection of HTTP/2: the preface, and a frame of settings that is empty.
_HTTP2_REQUEST = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(
    (0, 0, 0, 4, 0, 0, 0, 0, 0)
)
_SETTINGS_FRAME = b"\4"  # the fourth byte of the answer

_HTTP1_REQUEST = b"GET / HTTP/1.0\r\n\r\n"

# The variables that gRPC reads, the first that is set.
_GRPC_PROXIES = ("grpc_proxy", "https_proxy", "http_proxy")
_GRPC_EXCEPTIONS = ("no_grpc_proxy", "no_proxy")


def is_this_machine(host: str) -> bool:
    """Whether a host name or an address always means the machine that asks.

    Example:
        >>> [is_this_machine(h) for h in ("localhost", "127.9.9.9", "::1", "example.org")]
        [True, True, True, False]
    """
    name = host.rstrip(".").lower()
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    mapped = getattr(address, "ipv4_mapped", None) or address
    return mapped.is_loopback or mapped.is_unspecified


def http_proxies(url: str) -> dict[str, str]:
    """The argument `proxies` of requests, for a URL; {} takes the environment's."""
    host = urllib.parse.urlsplit(url).hostname or ""
    return {"no_proxy": host} if is_this_machine(host) else {}


def http_proxy(url: str) -> str | None:
    """The proxy that requests asks for a URL, without its password, or None."""
    import requests

    if http_proxies(url):
        return None
    proxy = requests.utils.select_proxy(url, requests.utils.get_environ_proxies(url))
    return proxy and without_credentials(proxy)


def grpc_proxy(host: str) -> str | None:
    """The proxy that gRPC asks for a host, without its password, or None."""
    import requests

    proxy = _first_set(_GRPC_PROXIES)
    if proxy is None or is_this_machine(host):
        return None
    exceptions = _first_set(_GRPC_EXCEPTIONS)
    shown = f"[{host}]" if ":" in host else host
    if exceptions and requests.utils.should_bypass_proxies(
        f"http://{shown}", exceptions
    ):
        return None
    return without_credentials(proxy)


def _first_set(variables: tuple[str, ...]) -> str | None:
    return next((os.environ[v] for v in variables if os.environ.get(v)), None)


def without_credentials(url: str) -> str:
    """A URL without the user and the password that it may contain.

    Example:
        >>> without_credentials("http://me:secret@proxy:3128/")
        'http://proxy:3128/'
    """
    scheme, separator, rest = url.rpartition("://")
    authority, slash, path = rest.partition("/")
    return f"{scheme}{separator}{authority.rpartition('@')[2]}{slash}{path}"


def through(proxy: str | None, host: str) -> str:
    """What to add to an error of a server that was asked through a proxy, or ""."""
    if proxy is None:
        return ""
    return (
        f" (asked through the proxy {proxy}, which the environment names; to ask the "
        f"server directly, put {host} into no_proxy)"
    )


def protocol_at(host: str, port: int) -> str | None:
    """The scheme of the protocol that a server speaks, one of `PROTOCOLS`.

    None means that nothing listens, or that the server speaks none of them.
    """
    if _answer(host, port, _HTTP2_REQUEST)[3:4] == _SETTINGS_FRAME:
        return ""
    # Before HTTP, because a server of HTTPS may refuse a plain request in plain HTTP.
    over_tls = _protocol_over_tls(host, port)
    if over_tls is not None:
        return over_tls
    return "http" if _answer(host, port, _HTTP1_REQUEST)[:5] == b"HTTP/" else None


def _answer(host: str, port: int, request: bytes) -> bytes:
    """The first bytes that a server answers; b"" if there is no answer."""
    try:
        with socket.create_connection((host, port), _PROBE_S) as connection:
            connection.sendall(request)
            return connection.recv(16)
    except OSError:
        return b""


def _protocol_over_tls(host: str, port: int) -> str | None:
    # Nothing is sent on this connection and nothing read, so it need not be trusted.
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    try:
        with (
            socket.create_connection((host, port), _PROBE_S) as connection,
            context.wrap_socket(connection, server_hostname=host) as secure,
        ):
            return "grpcs" if secure.selected_alpn_protocol() == "h2" else "https"
    except OSError:  # ssl.SSLError is one
        return None


def wrong_protocol(scheme: str, host: str, port: int) -> str | None:
    """Says that a server speaks another protocol than that of `scheme`, or None."""
    spoken = protocol_at(host, port)
    if spoken is None or spoken == scheme:
        return None
    prefix = f"{spoken}://" if spoken else ""
    shown = f"[{host}]" if ":" in host else host
    return (
        f"the server speaks {PROTOCOLS[spoken]} at this port, not {PROTOCOLS[scheme]}: "
        f"name it as {prefix}{shown}:{port}, or give its other port"
    )
