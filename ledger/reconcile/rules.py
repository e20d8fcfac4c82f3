"""What an operator may set: how long to wait, and what the processor may keep back.

DATA/reconcile.toml, every line optional:

    processor_days = 2      # until a claim must be in the processor's report
    bank_days = 3           # until a payout must be at the bank
    [fee]                   # of a charge; without this table fees are not checked
    percent = "1.4"
    fixed = "0.25"
    tolerance = "0.01"
"""

from __future__ import annotations

import tomllib
from decimal import ROUND_HALF_UP, Decimal
from pathlib import Path

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from models.errors import FacefareError
from models.money import parse_money

FILE = "reconcile.toml"
_PERCENT = r"^[0-9]{1,2}(\.[0-9]{1,4})?$"


class RulesError(FacefareError):
    """The rules cannot be read."""


class FeeRule(BaseModel):
    """What a charge costs: a share and a fixed part, give or take a tolerance."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    percent: str = Field(pattern=_PERCENT)
    fixed: str
    tolerance: str = "0"

    def excess(self, gross: int, fee: int, currency: str) -> int:
        """How far ``fee`` is from the rule beyond the tolerance; 0 where it is within."""
        share = Decimal(self.percent) * abs(gross) / 100
        expected = int(share.to_integral_value(ROUND_HALF_UP))
        expected += parse_money(self.fixed, currency).minor
        off = fee - expected
        return 0 if abs(off) <= parse_money(self.tolerance, currency).minor else off


class Rules(BaseModel):
    """The rules of one operator."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    processor_days: int = Field(default=2, ge=1, le=30)
    bank_days: int = Field(default=3, ge=1, le=30)
    fee: FeeRule | None = None


def read_rules(folder: Path) -> Rules:
    """The rules in ``folder``, or the usual ones where there is no such file."""
    path = folder / FILE
    try:
        found = Rules.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
        if found.fee is not None:
            found.fee.excess(100, 0, "EUR")
    except FileNotFoundError:
        return Rules()
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError, FacefareError) as error:
        raise RulesError(f"{path} cannot be used: {error}") from error
    except ValidationError as error:
        faults = "; ".join(f"{'.'.join(map(str, f['loc']))}: {f['msg']}" for f in error.errors())
        raise RulesError(f"{path} cannot be used: {faults}") from error
    return found
