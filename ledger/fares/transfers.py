"""Which transfer rules stand between two leg groups (fare_transfer_rules.txt)."""

from __future__ import annotations

from collections.abc import Iterator

from ledger.fares.tables import FareTables, TransferRule


class Transfers:
    """The transfer rules of one feed, found by the leg groups of both legs."""

    def __init__(self, tables: FareTables) -> None:
        self._rules = tables.transfer_rules
        self._from_listed = {rule.from_group for rule in self._rules} - {""}
        self._to_listed = {rule.to_group for rule in self._rules} - {""}
        self._found: dict[tuple[str, str], tuple[TransferRule, ...]] = {}

    def between(self, first: str, second: str) -> tuple[TransferRule, ...]:
        """The rules for a transfer from group ``first`` to ``second``.

        An exact match goes before empty cells, and an empty cell stands for the groups that
        no row of the file names on that side.
        """
        found = self._found.get((first, second))
        if found is None:
            exact = tuple(r for r in self._rules if (r.from_group, r.to_group) == (first, second))
            found = exact if first and second and exact else tuple(self._by_empty(first, second))
            self._found[first, second] = found
        return found

    def _by_empty(self, first: str, second: str) -> Iterator[TransferRule]:
        for rule in self._rules:
            if rule.from_group and rule.to_group:
                continue  # that would have been exact
            from_ok = rule.from_group == first or (
                not rule.from_group and first not in self._from_listed
            )
            to_ok = rule.to_group == second or (not rule.to_group and second not in self._to_listed)
            if first and second and from_ok and to_ok:
                yield rule
