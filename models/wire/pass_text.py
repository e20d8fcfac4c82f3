"""A pass as the text of a QR code: the same token, in as few squares as it can be.

A QR code with the JWT as text would have half as many squares again along each side, and a
camera would read it from half as far. So the code holds it packed:

    FF1:6BFOXN…    "FF1:" and base45 (RFC 9285) of deflate(header, newline, claims), then
                   the 64 bytes of the signature

The deflate stream (RFC 1951) has the preset dictionary below, which is part of the format.
Unpacking gives back the very JWT that was signed; nothing is verified here.
"""

from __future__ import annotations

import re
import zlib

from models.wire.keys import base64url, from_base64url
from models.wire.passes import NotAPass

QR_PREFIX = "FF1:"
QR_CHARACTERS_MAX = 1500
TOKEN_BYTES_MAX = 2048

_SIGNATURE_BYTES = 64
_DICTIONARY = (
    b'"eng":"dlib-resnet-1","img":3,"tpl":"","med":"face+pass","nbf":1,"sub":"",'
    b'{"alg":"EdDSA","kid":"","typ":"facefare-pass+jwt"}\n'
    b'{"aud":"/gates","exp":1,"iat":1,"iss":"","jti":"","med":"pass","nbf":1,"sub":""}'
)


def pack_pass(token: str) -> str:
    """The text of the QR code for a signed pass."""
    header, claims, signature = (from_base64url(part) for part in token.split("."))
    deflate = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS, 9, zdict=_DICTIONARY)
    stream = deflate.compress(header + b"\n" + claims) + deflate.flush()
    return QR_PREFIX + _base45(stream + signature)


def unpack_pass(text: str) -> str:
    """The signed pass in the text of a QR code; raise ``NotAPass`` for anything else."""
    if not text.startswith(QR_PREFIX) or len(text) > QR_CHARACTERS_MAX:
        raise NotAPass("This QR code is not a pass.")
    data = _from_base45(text[len(QR_PREFIX) :])
    stream, signature = data[:-_SIGNATURE_BYTES], data[-_SIGNATURE_BYTES:]
    inflate = zlib.decompressobj(-zlib.MAX_WBITS, zdict=_DICTIONARY)
    try:
        plain = inflate.decompress(stream, TOKEN_BYTES_MAX)
    except zlib.error as error:
        raise NotAPass(_DAMAGED) from error
    header, newline, claims = plain.partition(b"\n")
    if not inflate.eof or inflate.unused_data or not newline:
        raise NotAPass(_DAMAGED)
    return ".".join(base64url(part) for part in (header, claims, signature))


def is_pass_text(text: str) -> bool:
    """Whether the text of a QR code claims to be a pass at all."""
    return text.startswith(QR_PREFIX)


_DAMAGED = "This pass cannot be read. Hold it flat and still, or ask for a new one."
_ALPHABET = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:"
_BASE45 = re.compile(r"[0-9A-Z $%*+\-./:]*")


def _base45(data: bytes) -> str:
    characters = []
    for start in range(0, len(data), 2):
        pair = data[start : start + 2]
        rest = int.from_bytes(pair, "big")
        for _ in range(len(pair) + 1):
            rest, digit = divmod(rest, 45)
            characters.append(_ALPHABET[digit])
    return "".join(characters)


def _from_base45(text: str) -> bytes:
    if not _BASE45.fullmatch(text) or len(text) % 3 == 1:
        raise NotAPass(_DAMAGED)
    data = bytearray()
    for start in range(0, len(text), 3):
        digits = [_ALPHABET.index(character) for character in text[start : start + 3]]
        value = sum(digit * 45**place for place, digit in enumerate(digits))
        size = len(digits) - 1
        if value >= 256**size:
            raise NotAPass(_DAMAGED)
        data += value.to_bytes(size, "big")
    return bytes(data)
