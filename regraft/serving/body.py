"""The body of a request, compressed or not, read up to its size limit."""

from __future__ import annotations

import zlib
from collections.abc import AsyncIterable

from regraft.errors import RegraftError
from regraft.serving.protocol import ProtocolError
from regraft.wording import count

_WINDOWS = {"gzip": 16 + zlib.MAX_WBITS, "deflate": zlib.MAX_WBITS}
"""What zlib calls the formats that `Content-Encoding` names."""


class TooLarge(RegraftError):
    """A body of more bytes than the server takes."""


class UnknownEncoding(RegraftError):
    """A body that is compressed in a way that the server does not know."""


async def read_body(stream: AsyncIterable[bytes], limit: int, length: str | None, encoding: str | None) -> bytes:
    """The bytes of a body, decompressed.

    Args:
        limit: the most bytes, both as sent and decompressed.
        length, encoding: the headers `Content-Length` and `Content-Encoding`.

    Raises:
        TooLarge: it has more; memory never holds more than the limit.
        UnknownEncoding: it is neither gzip nor deflate.
        ProtocolError: it does not decompress.
    """
    too_large = TooLarge(f"the body has more than {count(limit, 'byte')}, which is the limit")
    if length is not None and length.isdecimal() and int(length[:20]) > limit:
        raise too_large
    if encoding in (None, "", "identity"):
        unpack = None
    elif encoding in _WINDOWS:
        unpack = zlib.decompressobj(_WINDOWS[encoding])
    else:
        raise UnknownEncoding(f"Content-Encoding: must be gzip or deflate, not '{encoding}'")
    sent, held, chunks = 0, 0, []
    async for chunk in stream:
        sent += len(chunk)
        if unpack is not None:
            chunk = _unpacked(unpack, chunk, limit - held + 1, encoding)
        held += len(chunk)
        if max(sent, held) > limit:
            raise too_large
        chunks.append(chunk)
    if unpack is not None and not unpack.eof:
        raise ProtocolError(f"the body is no {encoding}: it ends too early")
    return b"".join(chunks)


def _unpacked(unpack: zlib._Decompress, chunk: bytes, most: int, encoding: str | None) -> bytes:
    try:
        made = unpack.decompress(chunk, most)
    except zlib.error as error:
        raise ProtocolError(f"the body is no {encoding}: {error}") from error
    if unpack.unused_data:
        raise ProtocolError(f"the body is no {encoding}: more follows its end")
    return made
