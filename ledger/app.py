"""The ledger's blueprints, wired to one ledger and one gate register."""

from __future__ import annotations

from flask import Blueprint

from ledger.api import gate_api, public
from ledger.console.pages import finance
from ledger.ledger import Ledger
from ledger.openapi import documentation
from models.access.gates import GateRegister


def create_blueprints(ledger: Ledger, register: GateRegister) -> list[Blueprint]:
    """What the composition root registers; ``ledger_api`` needs no CSRF token."""
    return [gate_api(ledger, register), public(ledger), documentation(), finance(ledger)]
