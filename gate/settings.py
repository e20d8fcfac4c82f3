"""What ``gate.toml`` may say about the hardware and the rules of one gate.

    [door]    what opens, for how long, and what it does when power or program fails
    [camera]  where the pictures come from
    [kiosk]   the screen beside the gate
    [metrics] figures for the operator's monitoring
    [policy]  how far a face alone is trusted here

Every value has a default, every fault is a sentence that names its key, and a key that is
not known is refused: a misspelt ``fail_opne`` would otherwise be found by the fire brigade.
"""

from __future__ import annotations

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from gate.liveness.risk import SAFE, Limits
from models.errors import FacefareError
from models.money import Money, parse_money

Fraction = Annotated[float, Field(ge=0.0, le=1.0)]
Region = tuple[Fraction, Fraction, Fraction, Fraction]
Pin = Annotated[int, Field(ge=0, le=27)]
Port = Annotated[int, Field(ge=0, le=65535)]
Topic = Annotated[str, Field(pattern=r"^[^+#\x00/][^+#\x00]*$", max_length=200)]

LOOPBACK = ("127.0.0.1", "::1", "localhost")
WHOLE: Region = (0.0, 0.0, 1.0, 1.0)

_NEEDS = {"gpio": ("pin",), "mqtt": ("broker", "topic"), "http": ("url",)}
_BELONGS = {
    "gpio": ("pin", "sensor_pin", "release_pin"),
    "mqtt": ("broker", "topic", "state_topic", "username"),
    "http": ("url",),
}


class Section(BaseModel):
    """A table of ``gate.toml``: nothing in it goes unread."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class DoorSettings(Section):
    """The door and its driver. Pins are BCM numbers; secrets lie in ``GATE/door.secret``."""

    driver: Literal["console", "gpio", "mqtt", "http"] = "console"
    pulse_s: Annotated[float, Field(ge=0.2, le=30.0)] = 3.0
    held_after_s: Annotated[float, Field(ge=1.0, le=600.0)] = 15.0
    fail_open: bool = False
    pin: Pin | None = None
    active_high: bool = True
    sensor_pin: Pin | None = None
    release_pin: Pin | None = None
    broker: str | None = None
    topic: Topic | None = None
    state_topic: Topic | None = None
    username: Annotated[str, Field(min_length=1, max_length=120)] | None = None
    url: str | None = None
    auth: Literal["bearer", "hmac"] = "bearer"

    @field_validator("broker")
    @classmethod
    def _broker_is_safe(cls, value: str | None) -> str | None:
        return None if value is None else safe_address(value, clear="mqtt", sealed="mqtts")

    @field_validator("url")
    @classmethod
    def _url_is_safe(cls, value: str | None) -> str | None:
        return None if value is None else safe_address(value, clear="http", sealed="https")

    @model_validator(mode="after")
    def _driver_has_what_it_needs(self) -> DoorSettings:
        for key in _NEEDS.get(self.driver, ()):
            if getattr(self, key) is None:
                raise ValueError(f"the driver {self.driver!r} needs the key {key!r}")
        for driver, keys in _BELONGS.items():
            for key in keys:
                if driver != self.driver and getattr(self, key) is not None:
                    raise ValueError(f"{key!r} belongs to the driver {driver!r}; remove it")
        pins = [pin for pin in (self.pin, self.sensor_pin, self.release_pin) if pin is not None]
        if len(set(pins)) < len(pins):
            raise ValueError("pin, sensor_pin and release_pin must be three different pins")
        return self


class CameraSettings(Section):
    """``source``: a device number or address. ``region``: the part of the picture that is
    looked at at all, as shares of it (left, top, right, bottom)."""

    source: Annotated[str, Field(min_length=1, max_length=500)] = "0"
    rotation: Literal[0, 90, 180, 270] = 0
    region: Region = WHOLE

    @field_validator("region")
    @classmethod
    def _has_an_area(cls, value: Region) -> Region:
        return with_area(value)


class KioskSettings(Section):
    """``port`` 0: no screen. ``language`` is where the page begins; riders may switch."""

    port: Port = 0
    language: Literal["both", "en", "zh"] = "both"
    sound: bool = False
    silhouette: bool = True


class MetricsSettings(Section):
    """``port`` 0: no figures are served. They are served to this machine alone."""

    port: Port = 0


class PolicySettings(Section):
    """The limits of ``gate.liveness.risk`` and what holds without a connection.

    Amounts are written as ``"20.00"`` and need ``currency``; without an amount that limit
    is off.
    """

    liveness: Literal["full", "pair", "still", "off"] = "full"
    currency: str | None = None
    ride_max: str | None = None
    day_max: str | None = None
    account_max: str | None = None
    openings_a_day: Annotated[int, Field(ge=0, le=1000)] = SAFE.openings_a_day
    openings_since_pass: Annotated[int, Field(ge=0, le=10000)] = SAFE.openings_since_pass
    not_live_a_day: Annotated[int, Field(ge=1, le=100)] = SAFE.not_live_a_day
    weak_part: Fraction = SAFE.weak_part
    offline_openings_max: Annotated[int, Field(ge=0, le=1000)] = 4
    pass_only_after_h: Annotated[float, Field(ge=0.0, le=168.0)] = 24.0
    reentry_s: Annotated[float, Field(ge=0.0, le=7200.0)] = 300.0

    @model_validator(mode="after")
    def _amounts_can_be_read(self) -> PolicySettings:
        for key in ("ride_max", "day_max", "account_max"):
            self._amount(key)
        return self

    def _amount(self, key: str) -> Money | None:
        text = getattr(self, key)
        if text is None:
            return None
        if self.currency is None:
            raise ValueError(f"{key!r} is an amount: say in which 'currency', such as \"CNY\"")
        try:
            amount = parse_money(text, self.currency)
        except FacefareError as error:
            raise ValueError(f"{key!r}: {error}") from error
        if amount.minor < 0:
            raise ValueError(f"{key!r} cannot be negative")
        return amount

    def limits(self) -> Limits:
        """How far a face alone is trusted."""
        return Limits(
            ride_max=self._amount("ride_max"),
            day_max=self._amount("day_max"),
            account_max=self._amount("account_max"),
            openings_a_day=self.openings_a_day,
            openings_since_pass=self.openings_since_pass,
            not_live_a_day=self.not_live_a_day,
            weak_part=self.weak_part,
            offline_openings_max=self.offline_openings_max,
            pass_only_after_h=self.pass_only_after_h,
        )


def with_area(region: Region) -> Region:
    """The region, unless it holds nothing; ``ValueError`` then."""
    left, top, right, bottom = region
    if left >= right or top >= bottom:
        raise ValueError("it is left, top, right, bottom; left < right and top < bottom")
    return region


def safe_address(address: str, clear: str, sealed: str) -> str:
    """The address, unless something would travel to another machine in the clear.

    Raises ``ValueError`` with what is wrong.
    """
    try:
        parts = urlsplit(address)
        host, _ = parts.hostname, parts.port
    except ValueError as error:
        raise ValueError(f"{address!r} is no address: {error}") from error
    if parts.scheme not in (clear, sealed) or not host:
        raise ValueError(f"{address!r} is not a {clear}:// or {sealed}:// address")
    if parts.username or parts.password:
        raise ValueError("a password does not belong in an address; put it into door.secret")
    if parts.scheme == clear and host not in LOOPBACK:
        raise ValueError(
            f"{address} is another machine, and nothing may travel there in the clear; "
            f"use {sealed}://"
        )
    return address


def sentences(error: ValidationError) -> str:
    """Every fault that was found, each naming its key."""
    return "; ".join(_sentence(fault) for fault in error.errors())


def _sentence(fault: Any) -> str:
    key = ".".join(str(part) for part in fault["loc"]) or "gate.toml"
    if fault["type"] == "extra_forbidden":
        return f"{key} is not a key that is known here; check its spelling, or remove it"
    if fault["type"] == "missing":
        return f"{key} is missing"
    message = str(fault["msg"]).removeprefix("Value error, ")
    value = fault["input"]
    if isinstance(value, dict) or "@" in str(value):  # never a password in a message
        return f"{key}: {message}"
    return f"{key} cannot be {value!r}: {message[:1].lower()}{message[1:]}"
