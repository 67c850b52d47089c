"""A light connection to a server of the Open Inference Protocol."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from regraft.errors import RegraftError
from regraft.outside import check_form, parse_json
from regraft.serving.protocol import HEADER_LENGTH, Metadata, decode_metadata, read_header_length
from regraft.wording import count

_MODEL = re.compile(r"(?P<base>.*?)/v2/models/(?P<model>[^/]+)(?P<version>/versions/[^/]+)?(/infer)?")
_PORTS = {"http": 80, "https": 443}
_MOST = 2**30  # bytes of an answer


class ServerError(RegraftError):
    """A server that cannot be reached, or does not follow the protocol."""


class Answer(NamedTuple):
    """An answer of a server; names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def header_length(self) -> int | None:
        """Bytes of the body that are JSON; None: all."""
        return read_header_length(self.headers.get(HEADER_LENGTH.lower()))


@dataclass(frozen=True)
class Server:
    """The address of a server, and of one of its models.

    Attributes:
        address: to connect to; host: as the URL has it.
        base: the part of paths before `/v2`.
        model: the path of the model, from `/v2` on; empty where the URL names none.
        token: that every request carries; empty for none.
    """

    host: str
    address: str
    port: int
    secure: bool
    base: str
    model: str = ""
    token: str = ""

    @classmethod
    def at(cls, url: str, *, token: str = "", remote: bool = False) -> Server:
        """The server that a URL names.

        Args:
            remote: whether it may be on another machine.

        Raises:
            ServerError: the URL is none; the host is another machine's, or nothing answers there.
        """
        try:
            parts = urlsplit(url)
            port = parts.port or _PORTS[parts.scheme]
        except (ValueError, KeyError) as error:
            raise ServerError(f"'{url}' is no URL of a server; give one such as http://127.0.0.1:8000") from error
        unfit = parts.username is not None or parts.query or parts.fragment
        if unfit or not parts.hostname or not parts.hostname.isascii():
            raise ServerError(f"'{url}' is no URL of a server; give one such as http://127.0.0.1:8000")
        if not re.fullmatch(r"[!-~]*", token):
            raise ServerError("the token has a character that no header may have")
        address = _address(parts.hostname, port, remote)
        path = quote(parts.path.rstrip("/"), safe="/%")
        found = _MODEL.fullmatch(path)
        base = path.removesuffix("/v2") if found is None else found["base"]
        model = "" if found is None else f"/v2/models/{found['model']}{found['version'] or ''}"
        return cls(parts.hostname, address, port, parts.scheme == "https", base, model, token)

    def request(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> bytes:
        """The bytes of a request for a path from `/v2` on."""
        host = f"[{self.host}]" if ":" in self.host else self.host
        fields = {"Host": f"{host}:{self.port}", "Content-Length": str(len(body)), **(headers or {})}
        if self.token:
            fields["Authorization"] = f"Bearer {self.token}"
        lines = [f"{method} {self.base}{path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
        return "\r\n".join([*lines, "", ""]).encode("latin-1") + body

    async def metadata(self, model: str | None = None, timeout: float = 30.0) -> tuple[str, Metadata]:
        """The path of a model and its metadata, once the server is ready.

        Args:
            model: its name; None for the one of the URL, or the only one there is.

        Raises:
            ServerError: the server is not ready, has no such model, or several where none is named.
        """
        try:
            async with asyncio.timeout(timeout), Connection(self) as connection:
                await self._ask(connection, "GET", "/v2/health/ready")
                path = f"/v2/models/{quote(model, safe='')}" if model else self.model
                path = path or f"/v2/models/{quote(await self._only_model(connection), safe='')}"
                return path, decode_metadata(await self._ask(connection, "GET", path))
        except TimeoutError as error:
            raise ServerError(f"the server at {self.host}:{self.port} did not answer for {timeout:g} s") from error

    async def _only_model(self, connection: Connection) -> str:
        listed = parse_json(
            await self._ask(connection, "POST", "/v2/repository/index", b"{}"), "the server's index", ServerError
        )
        check_form(listed, [{"name": str}], "the server's index", ServerError)
        names = sorted({entry["name"] for entry in listed})
        if len(names) != 1:
            raise ServerError(f"the server has {count(len(names), 'model')}, {', '.join(names)}; name one with --model")
        return str(names[0])

    async def _ask(self, connection: Connection, method: str, path: str, body: bytes = b"") -> bytes:
        headers = {"Content-Type": "application/json"} if body else None
        try:
            answer = await connection.send(self.request(method, path, body, headers))
        except ConnectionFailure as error:
            raise ServerError(f"the server at {self.host}:{self.port}: {error}") from error
        if answer.status != 200:
            raise ServerError(f"{method} {self.base}{unquote(path)}: status {answer.status}{_said(answer.body)}")
        return answer.body


class ConnectionFailure(ServerError):
    """A connection that broke, or that delivered something other than HTTP."""


class Connection:
    """One connection to a server, opened when it is needed and kept; one request at a time."""

    def __init__(self, server: Server):
        self._server = server
        self._reader: asyncio.StreamReader | None = None
        self._writer: asyncio.StreamWriter | None = None

    async def send(self, request: bytes) -> Answer:
        """The answer to a request. Raises ConnectionFailure where none comes; a time limit is the caller's."""
        kept = self._writer is not None
        try:
            return await self._exchange(request)
        except (OSError, EOFError, ValueError, LookupError, asyncio.LimitOverrunError) as error:
            self.close()
            if kept and isinstance(error, ConnectionError | _Closed):  # the server closed it while it was idle
                return await self.send(request)
            raise ConnectionFailure(f"no answer in HTTP: {str(error) or type(error).__name__}") from error
        except BaseException:
            self.close()
            raise

    def close(self) -> None:
        """Close the connection; the next request opens another."""
        if self._writer is not None:
            self._writer.close()
        self._reader = self._writer = None

    async def __aenter__(self) -> Connection:
        return self

    async def __aexit__(self, *error: object) -> None:
        self.close()

    async def _exchange(self, request: bytes) -> Answer:
        if self._reader is None or self._writer is None:
            server = self._server
            secure: dict[str, Any] = {"ssl": True, "server_hostname": server.host} if server.secure else {}
            self._reader, self._writer = await asyncio.open_connection(server.address, server.port, **secure)
        self._writer.write(request)
        try:
            head = await self._reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError as error:
            raise error if error.partial else _Closed("the server closed the connection") from error
        first, *lines = head[:-4].decode("latin-1").split("\r\n")
        version, status = first.split(" ", 2)[:2]
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        body = await _body(self._reader, headers)
        if headers.get("connection", "").lower() == "close" or version != "HTTP/1.1":
            self.close()
        return Answer(int(status), headers, body)


class _Closed(EOFError):
    """The server closed a connection before it answered."""


async def _body(reader: asyncio.StreamReader, headers: Mapping[str, str]) -> bytes:
    if headers.get("transfer-encoding", "").lower() != "chunked":
        return await reader.readexactly(_size(headers.get("content-length", "0"), 10))
    body = bytearray()
    while size := _size((await reader.readuntil(b"\r\n")).split(b";")[0].decode("ascii"), 16, len(body)):
        body += (await reader.readexactly(size + 2))[:-2]
    await reader.readuntil(b"\r\n")
    return bytes(body)


def _size(text: str, base: int, before: int = 0) -> int:
    """The bytes that a header or a chunk's head states; with those `before`, at most `_MOST`."""
    size = int(text, base)
    if not 0 <= size <= _MOST - before:
        raise ValueError(f"an answer of {count(size, 'byte')}")
    return size


def _address(host: str, port: int, remote: bool) -> str:
    """The first address of a host that accepts a connection."""
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        raise ServerError(f"there is no host '{host}': {getattr(error, 'strerror', None) or error}") from error
    addresses = list(dict.fromkeys(str(entry[4][0]) for entry in found))
    if not remote and (outside := [one for one in addresses if not ipaddress.ip_address(one).is_loopback]):
        raise ServerError(f"'{host}' is {outside[0]}, another machine: a load is for your own; or give --allow-remote")
    problem: OSError | None = None
    for address in addresses:
        try:
            with contextlib.closing(socket.create_connection((address, port), timeout=5)):
                return address
        except OSError as error:
            problem = problem or error
    raise ServerError(f"nothing answers at {host}:{port}: {problem}; start the server") from problem


def _said(body: bytes) -> str:
    """The message of an error, if the answer has the protocol's form."""
    with contextlib.suppress(ServerError):
        content = parse_json(body, "the answer", ServerError)
        if isinstance(content, dict) and isinstance(content.get("error"), str):
            return f": {content['error'][:200]}"
    return ""
