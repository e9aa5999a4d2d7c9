"""Requests to addresses that people gave: sent to public hosts alone, once, and not for long.

A name is resolved once and the connection goes to what was checked, so that it cannot mean another host a
moment later. Redirects are answers like others, and an answer's body is not read.
"""

from __future__ import annotations

import http.client
import ipaddress
import socket
import ssl
import threading
from collections.abc import Mapping
from urllib.parse import SplitResult, urlsplit

from modelcenter.errors import Invalid

SECONDS = 15  # for all of a request, from connecting to the answer's headers
LONGEST = 2000  # characters of an address
# Ranges that are public themselves and lead to any IPv4 address: NAT64, 6to4, Teredo.
TUNNELS = tuple(ipaddress.ip_network(each) for each in ("64:ff9b::/96", "2002::/16", "2001::/32"))


def checked(url: str, *, private: bool) -> SplitResult:
    """The parts of an address that may be posted to. Raises Invalid; where a name leads is looked at later.

    private: whether hosts of one's own network may be asked, too.
    """
    if (
        len(url) > LONGEST
        or not url.isascii()
        or any(ord(letter) <= 32 or ord(letter) == 127 for letter in url)
    ):
        raise Invalid(f"The address {url[:100]!r} is too long or has characters that addresses do not have.")
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
    except ValueError as error:
        raise Invalid(f"{url!r} is no address: {error}.") from error
    if parts.scheme not in ("http", "https") or not host or port == 0:
        raise Invalid(f"The address is {url!r}; expected https://HOST/… or http://HOST/….")
    if parts.username is not None or parts.password is not None:
        raise Invalid("The address has a name or password, which would be sent in the clear. Leave them out.")
    literal = _literal(host)
    if literal is not None and not private:
        _require_public(host, literal)
    return parts


def _literal(host: str) -> str | None:
    """The IP address that `host` is, in any of the forms that are looked up as one; None for a name."""
    try:
        return str(ipaddress.ip_address(host))
    except ValueError:
        pass
    try:
        return socket.inet_ntoa(socket.inet_aton(host))
    except OSError:
        return None


def _require_public(host: str, address: str) -> None:
    """Raises Invalid for an address of one's own network."""
    if not is_public(address):
        raise Invalid(
            f"{host} is {address}, which is no public address. An operator may allow it by"
            " MODELCENTER_WEBHOOKS_PRIVATE=on."
        )


def is_public(address: str) -> bool:
    """Whether an IP address is anybody's to reach: not private, loopback, link-local, multicast, tunnel."""
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        if ip.ipv4_mapped is not None:
            return is_public(str(ip.ipv4_mapped))
        if any(ip in tunnel for tunnel in TUNNELS):
            return False
    return ip.is_global and not ip.is_multicast


def post(
    url: str, body: bytes, headers: Mapping[str, str], *, private: bool, seconds: float = SECONDS
) -> int:
    """The status that the host answers with. Raises OSError, HTTPException where none comes in time, Invalid.

    private: whether hosts of one's own network may be asked, too.
    """
    parts = checked(url, private=private)
    host = parts.hostname or ""
    port = parts.port or (443 if parts.scheme == "https" else 80)
    found = {str(each[4][0]) for each in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)}
    for address in sorted(found) if not private else ():
        _require_public(host, address)
    # One of the family that most networks have.
    connection = socket.create_connection((min(found, key=lambda each: (":" in each, each)), port), seconds)
    # Each read may wait for its own time: this ends all of them.
    clock = threading.Timer(seconds, _cut, [connection])
    clock.start()
    try:
        if parts.scheme == "https":
            connection = ssl.create_default_context().wrap_socket(connection, server_hostname=host)
        asked = http.client.HTTPConnection(parts.netloc, timeout=seconds)
        asked.sock = connection
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        asked.request("POST", target, body, dict(headers))
        return asked.getresponse().status
    finally:
        clock.cancel()
        connection.close()


def _cut(connection: socket.socket) -> None:
    try:
        connection.shutdown(socket.SHUT_RDWR)
    except OSError:  # it has ended by itself
        return
