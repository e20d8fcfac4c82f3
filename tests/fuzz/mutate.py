"""Seeded damage to an input: what a bad line, a broken tool or an attacker makes of it."""

from __future__ import annotations

from random import Random

NASTY = (
    b"\x00", b"\xff" * 8, b"\n", b"\r\n\r\n", b"{" * 2000, b"[" * 2000, b"9" * 5000, b"-", b"1e999",
    b"NaN", b"%s%n", b"\xed\xa0\x80", "\N{EM DASH} ".encode(), b"../" * 8, b"\xef\xbb\xbf", b"=",
    b"\xf0\x9f\x98\x80", b"'\";--", b"<!ENTITY a \"b\">", b"\xd9\xa3", b".",
)  # fmt: skip


def mutate(data: bytes, random: Random) -> bytes:
    """``data`` with one to four pieces of damage."""
    damaged = bytearray(data)
    for _ in range(random.randint(1, 4)):
        at = random.randint(0, len(damaged))
        match random.randrange(7):
            case 0 if damaged:
                damaged[at % len(damaged)] ^= 1 << random.randrange(8)
            case 1:
                del damaged[at : at + random.randint(1, 32)]
            case 2:
                damaged[at:at] = random.choice(NASTY)
            case 3:
                damaged[at:at] = damaged[at : at + random.randint(1, 64)]
            case 4:
                del damaged[at:]
            case 5 if damaged:
                damaged[at % len(damaged)] = random.randrange(256)
            case _:
                end = at + random.randint(1, 16)
                damaged[at:end] = bytes(reversed(damaged[at:end]))
    return bytes(damaged)
