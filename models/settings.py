"""Where an operator's files lie and what ``facefare.toml`` may say.

DATA/facefare.toml      this operator: names, currency, fare, stations
DATA/riders.sqlite      enrollment's database
DATA/fares.sqlite       the ledger's database, unless fares_url names a PostgreSQL
DATA/access.sqlite      staff, gates, used request ids
DATA/vault/             wrapped data keys and the master key, apart from the databases
DATA/keys/              signing keys of both logs and of enrollment, the session secret, the
                        key that seals staff secrets
DATA/log/checkpoint     the newest signed checkpoint, outside the ledger's database
DATA/log/access-checkpoint  the same of the log of who looked at riders
"""

from __future__ import annotations

import os
import re
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)

from models.errors import FacefareError
from models.log.cosignatures import Cosigner
from models.log.notes import NoteRefused
from models.money import Money, parse_money, validate_currency
from models.wire.tap import ShortName

TEMPLATE = """\
# This operator. Restart the server after a change.
operator = "{operator}"
# The name of the fare log, in every checkpoint: like a host name and path, no scheme.
origin = "{origin}"
currency = "CNY"
network = "metro"
flat_fare = "2.00"
# How far below zero a balance may go before the gates ask for another way to pay.
overdraft = "5.00"
# What one member of staff may give a rider back in a day; above it a second person decides.
refund_limit = "20.00"
# Of two persons who decide together neither may have invited or reset the other so recently.
two_persons_days = 30
# Riders who have not ridden for so many months are erased ('facefare enrollment expire', daily).
retention_months = 12
# Where the fares are kept. Without this line: in the file fares.sqlite beside this one.
# A password may stand in ~/.pgpass instead. After a change: facefare db upgrade
# fares_url = "postgresql://facefare@localhost/fares"

# The names by which browsers and gates reach this server, when it is not this machine alone.
# hosts = ["transit.example"]
# The address by which riders reach it: the payment processor's page leads back there.
# public_url = "https://transit.example"

[stations]
south = "South Gate"
drum-tower = "Drum Tower"

# Who cosigns our checkpoints: each witness's address and public key.
# [[witnesses]]
# url = "https://witness.example"
# key = "witness.example/w1+0a1b2c3d+BXX…"

# Who signs once a day since when our checkpoint exists (RFC 3161), and its certificate's file.
# [timestamp]
# url = "https://tsa.example/tsr"
# certificate = "keys/tsa.pem"
"""


class SettingsError(FacefareError):
    """The data directory or its settings cannot be used."""


_PUBLIC_URL = re.compile(r"(https://[a-z0-9.-]+|http://(localhost|127\.0\.0\.1))(:[0-9]{1,5})?")


def _web_address(value: str) -> str:
    """The address, if it is one that is asked over HTTP and holds no password."""
    parts = urlsplit(value)  # its own ValueError says what is wrong
    if parts.scheme not in ("http", "https") or not parts.hostname or not value.isprintable():
        raise ValueError("write an address that begins with https:// or http:// and a host name")
    if parts.username is not None or parts.password is not None:
        raise ValueError("a name or password does not belong in this address; take it out")
    return value


def _public_url(value: str) -> str:
    if not _PUBLIC_URL.fullmatch(value):
        raise ValueError("write an address such as https://transit.example, with no path")
    return value


def _postgresql(value: str) -> str:
    if not value.startswith("postgresql://"):
        raise ValueError("write an address that begins with postgresql://")  # without the password
    return value


WebAddress = Annotated[str, AfterValidator(_web_address), Field(max_length=500)]
HostName = Annotated[str, Field(pattern=r"^[a-z0-9.-]+$", max_length=253)]


class WitnessSettings(BaseModel):
    """A witness that cosigns the log's checkpoints: where it is, and its public key."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: WebAddress
    key: Annotated[str, Field(min_length=1, max_length=500)]

    @field_validator("key")
    @classmethod
    def _is_a_cosigner(cls, value: str) -> str:
        try:
            Cosigner.parse(value)
        except NoteRefused as error:
            raise ValueError(str(error)) from error
        return value


class TimestampSettings(BaseModel):
    """A time-stamping authority (RFC 3161): where it is, and the certificates it is known by.

    ``certificate`` is a PEM file, its path relative to the data directory.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    url: WebAddress
    certificate: Annotated[str, Field(min_length=1, max_length=500)]


class Settings(BaseModel):
    """The contents of ``facefare.toml``."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    operator: str = Field(min_length=1, max_length=120)
    origin: Annotated[str, Field(pattern=r"^[a-z0-9.-]+(/[a-z0-9._-]+)*$", max_length=120)]
    currency: str
    network: ShortName
    flat_fare: str
    overdraft: str
    refund_limit: str = "20"
    two_persons_days: int = Field(default=30, ge=1, le=365)
    retention_months: int = Field(default=12, ge=1, le=120)
    fares_url: Annotated[str, AfterValidator(_postgresql)] | None = None
    stations: dict[ShortName, str] = Field(min_length=1)
    witnesses: tuple[WitnessSettings, ...] = ()
    timestamp: TimestampSettings | None = None
    hosts: tuple[HostName, ...] = ()
    public_url: Annotated[str, AfterValidator(_public_url), Field(max_length=300)] | None = None

    @field_validator("currency")
    @classmethod
    def _known_currency(cls, value: str) -> str:
        validate_currency(value)
        return value

    @model_validator(mode="after")
    def _amounts_can_be_read(self) -> Settings:
        for amount in (self.fare, self.overdraft_limit, self.refund_limit_amount):
            if amount.minor < 0:
                raise ValueError("flat_fare, overdraft and refund_limit cannot be negative")
        return self

    @property
    def refund_limit_amount(self) -> Money:
        """What one member of staff may give one rider in a day without a second person."""
        return parse_money(self.refund_limit, self.currency)

    @property
    def fare(self) -> Money:
        """What one ride costs."""
        return parse_money(self.flat_fare, self.currency)

    @property
    def overdraft_limit(self) -> Money:
        """How far below zero a balance may go."""
        return parse_money(self.overdraft, self.currency)


@dataclass(frozen=True, slots=True)
class DataDirectory:
    """The places inside one operator's data directory."""

    path: Path

    @property
    def settings_file(self) -> Path:
        return self.path / "facefare.toml"

    @property
    def riders_db(self) -> Path:
        return self.path / "riders.sqlite"

    @property
    def fares_db(self) -> Path:
        return self.path / "fares.sqlite"

    @property
    def access_db(self) -> Path:
        return self.path / "access.sqlite"

    @property
    def vault(self) -> Path:
        return self.path / "vault"

    @property
    def keys(self) -> Path:
        return self.path / "keys"

    @property
    def session_key(self) -> Path:
        return self.keys / "session.key"

    @property
    def staff_key(self) -> Path:
        return self.keys / "staff.key"

    @property
    def access_log_key(self) -> Path:
        return self.keys / "access-log.pem"

    @property
    def access_checkpoint_file(self) -> Path:
        return self.path / "log" / "access-checkpoint"

    @property
    def checkpoint_file(self) -> Path:
        return self.path / "log" / "checkpoint"

    def settings(self) -> Settings:
        """Read and check ``facefare.toml``; raise ``SettingsError`` with every fault found."""
        try:
            text = self.settings_file.read_text(encoding="utf-8")
        except FileNotFoundError as error:
            raise SettingsError(
                f"{self.path} is not a Facefare data directory; run 'facefare init' first"
            ) from error
        except (OSError, UnicodeDecodeError) as error:
            raise SettingsError(f"{self.settings_file} cannot be read: {error}") from error
        return parse_settings(text, self.settings_file)


def parse_settings(text: str, where: Path) -> Settings:
    """Check the text of a settings file; raise ``SettingsError`` with every fault found."""
    try:
        return Settings.model_validate(tomllib.loads(text))
    except (ValidationError, FacefareError) as error:
        raise SettingsError(f"{where}: {_sentences(error)}") from error
    except (ValueError, RecursionError) as error:  # no TOML, or one made to break readers
        raise SettingsError(f"{where} cannot be read: {error}") from error


def _sentences(error: Exception) -> str:
    if not isinstance(error, ValidationError):
        return str(error)
    return "; ".join(
        f"{'.'.join(str(part) for part in fault['loc']) or 'file'}: "
        + fault["msg"].removeprefix("Value error, ")
        for fault in error.errors()
    )


def make_directories(data: DataDirectory) -> None:
    """Create the empty data directory, readable by its owner only.

    Raises ``SettingsError`` where it is in use already or cannot be written.
    """
    if data.settings_file.exists():
        raise SettingsError(f"{data.path} holds a Facefare data directory already")
    if data.path.is_dir() and any(data.path.iterdir()):
        raise SettingsError(
            f"{data.path} is not empty; choose an empty folder, or delete what an interrupted "
            "'facefare init' left there"
        )
    try:
        for folder in (data.path, data.vault, data.keys, data.checkpoint_file.parent):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
            folder.chmod(0o700)  # also where the folder was there before
        if not os.access(data.path, os.W_OK):
            raise PermissionError("the directory is read-only")
    except OSError as error:
        raise SettingsError(
            f"the data directory {data.path} cannot be written ({error}); "
            "choose another with --data or change its permissions"
        ) from error
