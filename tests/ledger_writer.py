"""Charge taps one after another and say so after each; killed by its test at any moment.

python ledger_writer.py DATA TAPS: TAPS holds one signed tap per line, GATE_KEY its gate's
public key in hex. An acknowledged tap's line number is written to standard output.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

from ledger.answers import Accepted
from ledger.charge import charge_taps
from ledger.ledger import Ledger
from models.access.gates import RegisteredGate
from models.settings import DataDirectory


def main(data: str, taps: str) -> None:
    ledger = Ledger.open(DataDirectory(Path(data)))
    gate = RegisteredGate(
        "south-1",
        "south",
        "in",
        Ed25519PublicKey.from_public_bytes(bytes.fromhex(os.environ["GATE_KEY"])),
        X25519PrivateKey.generate().public_key(),
        revoked=False,
    )
    for number, signed in enumerate(Path(taps).read_text(encoding="ascii").splitlines()):
        (answer,) = charge_taps(ledger, "south-1", [signed], lambda name: gate)
        assert isinstance(answer, Accepted), answer
        sys.stdout.write(f"{number}\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(*sys.argv[1:])
