"""ISO 20022 camt.053, versions 001.02 and 001.08: the bank statement as XML.

Only booked entries count. An entry is known by the bank's own reference, or, where that says
nothing (NONREF), by its place in its statement. One that names several transactions whose
amounts add up to its own becomes one line for each; otherwise it is one line. A statement whose
entries do not lead from its opening to its closing booked balance is refused.

The parser resolves no entity and opens no file or address, and a document with a DOCTYPE
is refused before anything of it is used: that is where XML bombs live.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from zoneinfo import ZoneInfo

from lxml import etree  # type: ignore[import-untyped]

from ledger.reconcile.statements.lines import (
    Line,
    LineFault,
    Reader,
    Statement,
    StatementRefused,
    amount,
    payout_named,
)
from ledger.reconcile.statements.tables import local_day, plain_day

_SPACE = "urn:iso:std:iso:20022:tech:xsd:camt.053.001."
VERSIONS = ("02", "08")
_SIGNS = {"CRDT": 1, "DBIT": -1}
_NO_REFERENCE = frozenset(("NONREF", "NOTPROVIDED", "NOTAVAILABLE", "NONE", "NA", "N/A", "UNKNOWN"))
"""What banks write where they give an entry no reference of its own: it identifies nothing."""

Element = Any


def read_camt053(data: bytes, zone: ZoneInfo) -> Statement:
    """Read a camt.053 document; raise ``StatementRefused`` with every fault."""
    root = _parse(data)
    reader = Reader("camt053", "bank")
    document = _Document(root, zone)
    for statement in document.all(root, "BkToCstmrStmt/Stmt"):
        try:
            document.read(statement, reader)
        except LineFault as error:
            reader.fault(int(statement.sourceline), str(error))
    return reader.done()


def _parse(data: bytes) -> Element:
    parser = etree.XMLParser(
        resolve_entities=False, load_dtd=False, no_network=True, huge_tree=False,
        remove_comments=True, remove_pis=True,
    )  # fmt: skip
    try:
        root = etree.fromstring(data, parser)
    except (etree.XMLSyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None) or 1
        raise StatementRefused([(int(line), f"it is not XML: {error}")]) from error
    info = root.getroottree().docinfo
    if info.internalDTD is not None or info.doctype:
        raise StatementRefused([(1, "a bank statement has no DOCTYPE; this one is refused")])
    space = etree.QName(root).namespace or ""
    if not space.startswith(_SPACE) or space.removeprefix(_SPACE) not in VERSIONS:
        raise StatementRefused(
            [(int(root.sourceline), f"it is not camt.053.001.02 or .08 but {space or 'no'} XML")]
        )
    return root


class _Document:
    """Looks up elements of one document by their plain paths."""

    def __init__(self, root: Element, zone: ZoneInfo) -> None:
        self._names = {"d": etree.QName(root).namespace}
        self._zone = zone

    def all(self, element: Element, path: str) -> list[Element]:
        found = element.findall("/".join(f"d:{part}" for part in path.split("/")), self._names)
        return list(found)

    def text(self, element: Element, *paths: str) -> str | None:
        """The text of the first of ``paths`` that is there."""
        for path in paths:
            for found in self.all(element, path):
                if found.text and found.text.strip():
                    return str(found.text.strip())
        return None

    def needed(self, element: Element, *paths: str) -> str:
        found = self.text(element, *paths)
        if found is None:
            raise LineFault(f"{paths[0]} is missing")
        return found

    def money(self, element: Element, path: str = "Amt") -> tuple[int, str] | None:
        """The amount at ``path`` with its sign not yet applied."""
        for found in self.all(element, path):
            currency = found.get("Ccy") or ""
            return amount((found.text or "").strip(), currency, path), currency
        return None

    def sign(self, element: Element) -> int:
        said = self.needed(element, "CdtDbtInd")
        if said not in _SIGNS:
            raise LineFault(f"CdtDbtInd is CRDT or DBIT, not {said!r}")
        return _SIGNS[said]

    def read(self, statement: Element, reader: Reader) -> None:
        """Add the statement's booked entries to ``reader`` and check its balances."""
        account = self.needed(statement, "Acct/Id/IBAN", "Acct/Id/Othr/Id")
        name = f"{account}:{self.needed(statement, 'Id')}"
        moved = 0
        for number, entry in enumerate(self.all(statement, "Ntry"), 1):
            try:
                lines = list(self._entry(entry, f"bank:{name}:{number}", account))
            except LineFault as error:
                reader.fault(int(entry.sourceline), str(error))
                continue
            for line in lines:
                moved += line.gross
                reader.add(line)
        self._check_balances(statement, moved, reader)

    def _entry(self, entry: Element, name: str, account: str) -> Iterator[Line]:
        if self.needed(entry, "Sts/Cd", "Sts") != "BOOK":
            return
        found = self.money(entry)
        if found is None:
            raise LineFault("Amt is missing")
        minor, currency = found[0] * self.sign(entry), found[1]
        own = _reference(self.text(entry, "AcctSvcrRef"))
        line_id = f"bank:{account}:{own}" if own else name
        day = self._day(entry)
        parts = self._parts(entry, minor, currency)
        for number, (part, details) in enumerate(parts or [(minor, None)]):
            words = self._words(entry if details is None else details)
            reference = None if details is None else self.text(details, "Refs/EndToEndId")
            yield Line(
                int(entry.sourceline),
                line_id if len(parts) < 2 else f"{line_id}:{number}",
                "receipt", part, 0, currency, day,
                reference=reference or self.text(entry, "NtryRef"),
                payout_id=payout_named(words), words=words,
            )  # fmt: skip

    def _parts(self, entry: Element, minor: int, currency: str) -> list[tuple[int, Element]]:
        """The entry's transactions with their amounts, if they add up to the entry."""
        details = self.all(entry, "NtryDtls/TxDtls")
        if len(details) == 1:
            return [(minor, details[0])]
        parts = []
        for one in details:
            found = self.money(one) or self.money(one, "AmtDtls/TxAmt/Amt")
            if found is None or found[1] != currency:
                return []
            own_sign = self.text(one, "CdtDbtInd")
            sign = _SIGNS.get(own_sign, 0) if own_sign else self.sign(entry)
            parts.append((found[0] * sign, one))
        return parts if sum(part for part, _ in parts) == minor else []

    def _day(self, entry: Element) -> str:
        day = self.text(entry, "BookgDt/Dt")
        if day is not None:
            return plain_day(day)
        moment = self.needed(entry, "BookgDt/DtTm", "ValDt/Dt")
        return plain_day(moment) if len(moment) == 10 else self._local(moment)

    def _local(self, moment: str) -> str:
        return local_day(moment, self._zone) if moment.endswith("Z") else plain_day(moment[:10])

    def _words(self, element: Element) -> str:
        """Everything an entry says in words: references, remittance, additional information."""
        wanted = ("Ustrd", "EndToEndId", "AddtlNtryInf", "AddtlTxInf", "Ref", "NtryRef", "Nm",
                  "InstrId", "TxId")  # fmt: skip
        told = [
            str(found.text.strip())
            for found in element.iter()
            if etree.QName(found).localname in wanted and found.text and found.text.strip()
        ]
        return " ".join(dict.fromkeys(told))

    def _check_balances(self, statement: Element, moved: int, reader: Reader) -> None:
        sums: dict[str, int] = {}
        closed: list[str] = []
        for balance in self.all(statement, "Bal"):
            code = self.needed(balance, "Tp/CdOrPrtry/Cd", "Tp/CdOrPrtry/Prtry")
            found = self.money(balance)
            if code in ("OPBD", "PRCD", "CLBD") and found is not None:
                sums["closing" if code == "CLBD" else "opening"] = found[0] * self.sign(balance)
                day = self.text(balance, "Dt/Dt", "Dt/DtTm") if code == "CLBD" else None
                closed += [plain_day(day[:10])] if day else []
        if len(sums) < 2:
            raise LineFault("the opening and closing booked balances are missing")
        if sums["opening"] + moved != sums["closing"] and not reader.faults:
            raise LineFault(
                f"the entries lead to {sums['opening'] + moved} minor units, the closing balance "
                f"says {sums['closing']}: entries are missing or changed"
            )
        reader.closed += closed


def _reference(written: str | None) -> str | None:
    """The bank's own name of an entry; None where it only says that there is none."""
    plain = "".join((written or "").upper().split())
    return None if plain in _NO_REFERENCE or not plain.strip("0-./") else written
