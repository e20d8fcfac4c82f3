"""The ledger over HTTP: taps in, standings and checkpoints out. Handlers only translate.

POST /api/v1/taps        {"taps": ["<jws>", …]} -> {"answers": [{"status": …}, …]}
GET  /api/v1/standings   {"version": 17, "blocked": [{"account": …, "reason": …}]};
                         with ?have=17&wait=20 answered when there is an 18, after 20 s anyway
GET  /log/checkpoint     the newest signed checkpoint, for everyone
GET  /log/witnessed      the newest one that a witness cosigned, with the cosignatures
GET  /health/ledger      200 while every entry older than ten seconds is signed for
"""

from __future__ import annotations

import json
from typing import Any

from flask import Blueprint, Response, abort, request

from ledger.answers import answers_json
from ledger.arrivals import SIGNED_TAP_CHARS_MAX
from ledger.backlogs import Backlogs
from ledger.charge import TAPS_MAX, BatchRefused
from ledger.checkpoints import health
from ledger.kept import CheckpointFile
from ledger.ledger import Ledger
from ledger.proving import tile_bytes
from ledger.shapes import BlockedShape, HealthAnswer, StandingsAnswer, WitnessShape
from ledger.standings import StandingsFeed
from ledger.witnessing import cosigned_checkpoint
from ledger.witnessing import standings as witness_standings
from models.access.gates import GateRegister
from models.access.web import authenticate_gate, require_role
from models.log.tiles import TileRefused, parse_tile
from models.wire.times import format_utc

AUDIENCE = "ledger"
_BODY_BYTES_MAX = TAPS_MAX * (SIGNED_TAP_CHARS_MAX + 8) + 64


def gate_api(ledger: Ledger, register: GateRegister) -> Blueprint:
    """What gates call, each request with a token of its own."""
    blueprint = Blueprint("ledger_api", __name__, url_prefix="/api/v1")
    feed = StandingsFeed(ledger)
    backlogs = Backlogs(ledger)

    @blueprint.post("/taps")
    def taps() -> Response:
        """Charge one tap or a batch, each exactly once."""
        request.max_content_length = _BODY_BYTES_MAX
        gate = authenticate_gate(register, AUDIENCE)
        answers = backlogs.charge(gate, _signed_taps(request.get_data()))
        return Response(answers_json(answers), content_type="application/json")

    @blueprint.get("/standings")
    def blocked() -> dict[str, Any]:
        """The accounts a gate should not let ride, at once or when the list changes."""
        authenticate_gate(register, AUDIENCE)
        have = request.args.get("have", -1, type=int)
        now = feed.after(have, request.args.get("wait", 0, type=int))
        shown = [
            BlockedShape(
                account=account.account_id,
                reason=account.standing.reason,
                words=account.standing.words,
                since=format_utc(account.standing.since or ledger.clock()),
                lifted_by=list(account.standing.lifted_by),
            )
            for account in now.blocked
        ]
        return StandingsAnswer(version=now.version, blocked=shown).model_dump()

    return blueprint


def public(ledger: Ledger) -> Blueprint:
    """What anyone may read."""
    blueprint = Blueprint("ledger_public", __name__)

    @blueprint.get("/log/checkpoint")
    def checkpoint() -> Response:
        """The newest signed checkpoint."""
        note = CheckpointFile(ledger.checkpoint_file).read()
        return Response(note, content_type="text/plain; charset=utf-8")

    @blueprint.get("/log/witnessed")
    def witnessed() -> Response:
        """The newest checkpoint that a witness cosigned, with its cosignatures."""
        note = cosigned_checkpoint(ledger)
        if not note:
            abort(404)
        return Response(note, content_type="text/plain; charset=utf-8")

    @blueprint.get("/log/tile/entries/<path:number>")
    @require_role("auditor", "admin")
    def entries(number: str) -> Response:
        """A bundle of entries, for auditors."""
        return _tile(ledger, f"entries/{number}", entries=True)

    @blueprint.get("/log/tile/<path:path>")
    def tile(path: str) -> Response:
        """Hashes of the tree, from which everyone computes every proof."""
        response = _tile(ledger, path, entries=False)
        response.headers["Cache-Control"] = "public, max-age=31536000, immutable"
        return response

    @blueprint.get("/health/ledger")
    def ledger_health() -> tuple[dict[str, Any], int]:
        """Whether the log is signed in time, and whether every witness has seen the same one."""
        found, witnesses = health(ledger), witness_standings(ledger)
        contradicted = any(witness.contradicts for witness in witnesses)
        answer = HealthAnswer(
            status="contradicted" if contradicted else "ok" if found.ok else "late",
            problem=found.problem,
            entries=found.entries,
            checkpoint_size=found.checkpoint_size,
            unsigned_for_s=found.unsigned_for_s,
            signer=found.signer,
            witnesses=[
                WitnessShape(
                    name=witness.name,
                    size=witness.size,
                    at=None if witness.at is None else format_utc(witness.at),
                    trouble=witness.trouble,
                )
                for witness in witnesses
            ],
        )
        return answer.model_dump(), 200 if answer.status == "ok" else 503

    return blueprint


def _tile(ledger: Ledger, path: str, *, entries: bool) -> Response:
    try:
        tile = parse_tile(path)
        if (tile.level is None) != entries:
            abort(404)  # entries only ever go out by the route that asks who is reading
        data = tile_bytes(ledger, tile)
    except TileRefused:
        abort(404)
    return Response(data, content_type="application/octet-stream")


def _signed_taps(body: bytes) -> list[str]:
    try:
        value = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise BatchRefused('the request is not JSON; send {"taps": ["<signed tap>", …]}') from error
    taps = value.get("taps") if isinstance(value, dict) and len(value) == 1 else None
    if not isinstance(taps, list) or not all(isinstance(tap, str) for tap in taps):
        raise BatchRefused('send {"taps": ["<signed tap>", …]} and nothing else')
    return taps
