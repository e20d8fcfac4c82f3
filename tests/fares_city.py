"""A ledger that charges by one of the two real feeds, with a gate for every stop and way.

    city = make_city(tmp_path / "data", "transcollines")
    city.send(city.sign(account, tap), at=tap.at)     as the gate would, over HTTP

Fare taps of ``tests.fares_days`` become signed taps of gates named after stop and network.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, time
from pathlib import Path
from typing import Any
from uuid import uuid4

from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from flask import Flask
from sqlalchemy import Engine, text
from uuid6 import uuid7

from ledger.accounts import open_account
from ledger.app import create_blueprints
from ledger.fares.feedfiles import FeedFiles
from ledger.fares.gtfs import feed_files
from ledger.fares.history import History
from ledger.fares.statement import Statement, statement
from ledger.fares.taps import LATE_AFTER, FareTap
from ledger.feeds import activate
from ledger.sequencer import sequence
from models.access.gates import GateRegister, add_gate, provision_gate
from models.database import is_postgres, open_sqlite, reading
from models.errors import FacefareError
from models.tables.access import AccessTable
from models.wire.keys import raw_public
from models.wire.times import format_utc
from models.wire.tokens import Request, issue_gate_token
from tests.fares_days import OWN, PLACES, STARTS, feed_directory
from tests.town import Town, TownGate, make_town

CURRENCY = {"mbta-fares": "USD", "transcollines": "CAD"}
_PATH = "/api/v1/taps"


def station_files(feed: str) -> FeedFiles:
    """The feed with its own files and a row of fare_stations.txt for every place we ride from."""
    files = feed_files(feed_directory(feed), OWN / feed)
    rows = io.StringIO()
    writer = csv.writer(rows)
    writer.writerow(("station_id", "gate_id", "stop_id", "network_id"))
    for network, stops in PLACES[feed].items():
        for stop in stops:
            writer.writerow((station(network, stop), "", stop, network))
    return FeedFiles(feed, {**files.data, "fare_stations.txt": rows.getvalue().encode()})


def station(network: str, stop: str) -> str:
    """The station id a stop and network have at the gates."""
    return f"{stop}.{network}".lower()


@dataclass
class City:
    """A town that charges by a feed."""

    town: Town
    feed: str
    _app: Flask
    _access: Engine
    gates: dict[tuple[str, str, str], TownGate] = field(default_factory=dict)

    def account(self, category: str = "adult") -> str:
        """A new rider."""
        account_id = uuid4().hex
        open_account(self.town.ledger, account_id, category)
        return account_id

    def gate(self, network: str, stop: str, direction: str) -> TownGate:
        """The gate of a stop, provisioned when it is first needed."""
        key = (network, stop, direction)
        if key not in self.gates:
            number = len(self.gates)
            made = TownGate(f"g{number}", station(network, stop), direction)
            self.gates[key] = made
            now = self.town.clock()
            code = add_gate(self._access, made.name, made.station, direction, now)
            box = raw_public(X25519PrivateKey.generate().public_key())
            provision_gate(self._access, code, raw_public(made.key.public_key()), box, now)
        return self.gates[key]

    def sign(self, account: str, tap: FareTap) -> tuple[TownGate, str]:
        """The tap as its gate signs it, with the gate's own next number."""
        gate = self.gate(tap.network, tap.stop, tap.direction)
        return gate, gate.tap(account, tap_id=tap.tap_id, at=format_utc(tap.at))

    def send(self, gate: TownGate, *signed: str) -> list[dict[str, Any]]:
        """Send signed taps of one gate over HTTP; every answer is given for its tap."""
        body = json.dumps({"taps": signed}).encode()
        bound = Request("POST", _PATH, body)
        token = issue_gate_token(gate.key, gate.name, "ledger", bound, self.town.clock())
        headers = {"Authorization": f"Bearer {token}"}
        response = self._app.test_client().post(_PATH, data=body, headers=headers)
        assert response.status_code == 200, response.text
        if is_postgres(self.town.ledger.engine):
            sequence(self.town.ledger)
        answers: list[dict[str, Any]] = response.get_json()["answers"]
        return answers

    def ride(self, account: str, *taps: FareTap) -> list[dict[str, Any]]:
        """Send taps one after another, each when it was made unless it is later already."""
        answers = []
        for tap in taps:
            self.town.clock.now = max(self.town.clock.now, tap.at)
            gate, signed = self.sign(account, tap)
            (answer,) = self.send(gate, signed)
            assert answer["status"] == "accepted", answer
            answers.append(answer)
        return answers

    def charged(self, account: str) -> int:
        """What the rider's entries say was earned from the rider, from the postings alone."""
        query = (
            "SELECT COALESCE(-SUM(p.minor), 0) FROM posting p JOIN entry e ON e.seq = p.entry_seq "
            "WHERE e.account_id = :account AND p.account LIKE 'income:fares:%'"
        )
        return self._sum(query, account)

    def held(self, account: str) -> int:
        """What is held for the rider."""
        query = (
            "SELECT COALESCE(-SUM(p.minor), 0) FROM posting p JOIN entry e ON e.seq = p.entry_seq "
            "WHERE e.account_id = :account AND p.account = 'liabilities:held'"
        )
        return self._sum(query, account)

    def _sum(self, query: str, account: str) -> int:
        with reading(self.town.ledger.engine) as session:
            return int(session.execute(text(query), {"account": account}).scalar_one())

    def entries(self, account: str) -> list[Any]:
        """The rider's entries, oldest first."""
        query = (
            "SELECT kind, amount_minor, rule, body FROM entry WHERE account_id = :a ORDER BY seq"
        )
        with reading(self.town.ledger.engine) as session:
            return list(session.execute(text(query), {"a": account}))

    def reopened(self) -> City:
        """The same ledger as another server sees it, with the same gates."""
        town = self.town.reopened()
        return replace(self, town=town, _app=_application(town, self._access))

    def close(self) -> None:
        """Let go of the databases."""
        self.town.ledger.engine.dispose()
        self._access.dispose()


def make_city(
    path: Path,
    feed: str,
    make: Callable[[Path, Callable[[str], str]], Town] = make_town,
    files: FeedFiles | None = None,
) -> City:
    """A ledger in ``path`` with the feed in force from its first day, at that day's noon."""
    currency = CURRENCY[feed]
    town = make(path, lambda text: text.replace('currency = "CNY"', f'currency = "{currency}"'))
    town.clock.now = datetime.combine(STARTS[feed], time(12), UTC)
    activate(
        town.ledger.engine, files or station_files(feed), STARTS[feed], currency, "finance",
        town.clock(),
    )  # fmt: skip
    access = open_sqlite(town.data.access_db, AccessTable.metadata, create=True)
    return City(town, feed, _application(town, access), access)


def _application(town: Town, access: Engine) -> Flask:
    app = Flask(__name__)
    for blueprint in create_blueprints(town.ledger, GateRegister(access, town.clock)):
        app.register_blueprint(blueprint)

    @app.errorhandler(FacefareError)
    def tell(error: FacefareError) -> tuple[str, int]:
        return str(error), 400

    return app


def numbered(taps: Iterable[FareTap]) -> list[FareTap]:
    """The same taps with the ids gates give, which sort as theirs did."""
    return [replace(tap, tap_id=str(uuid7())) for tap in sorted(taps, key=_order)]


def _order(tap: FareTap) -> tuple[datetime, str]:
    return tap.at, tap.tap_id


def engine_says(city: City, arrived: Iterable[tuple[FareTap, datetime]]) -> Statement:
    """The engine's own statement over these taps and the times they arrived, as of now."""
    with reading(city.town.ledger.engine) as session:
        history = History.of(city.town.ledger.fares.book(session))
    for tap, received in arrived:
        history = history.add(replace(tap, late=received - tap.at > LATE_AFTER))
    return statement(history, city.town.clock())
