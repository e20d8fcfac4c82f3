"""The door that ``gate.toml`` asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any, TextIO

from gate.doors.console import ConsoleDoor
from gate.doors.driven import DrivenDoor, Driver, Told
from gate.doors.gpio import GpioDriver
from gate.doors.http import HttpDriver
from gate.doors.mqtt import MqttDriver
from gate.errors import GateConfigError
from gate.settings import DoorSettings

SECRET_CHARACTERS_MIN = 16


def make_door(
    settings: DoorSettings, secret_path: Path, out: TextIO, told: Told, pins: Any = None
) -> ConsoleDoor | DrivenDoor:
    """The door of ``settings``, not yet started; ``pins`` is a gpiozero pin factory for tests.

    Raises ``GateConfigError`` where its secret is missing.
    """
    if settings.driver == "console":
        return ConsoleDoor(out)
    driver = _driver(settings, secret_path, pins)
    return DrivenDoor(driver, settings.pulse_s, settings.held_after_s, told)


def _driver(settings: DoorSettings, secret_path: Path, pins: Any) -> Driver:
    match settings.driver:
        case "gpio":
            return GpioDriver(settings, pins)
        case "mqtt":
            return MqttDriver(settings, _secret(secret_path) if settings.username else "")
        case _:
            return HttpDriver(settings, _secret(secret_path))


def _secret(path: Path) -> str:
    """The secret, one line in a file that nobody else may read."""
    try:
        if path.stat().st_mode & 0o077:
            raise GateConfigError(f"{path} can be read by others; run: chmod 600 {path}")
        secret = path.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise GateConfigError(
            f"the door's secret cannot be read from {path} ({error}); write it there, one line"
        ) from error
    if len(secret) < SECRET_CHARACTERS_MIN or not secret.isascii() or not secret.isprintable():
        raise GateConfigError(
            f"the door's secret in {path} is not usable; it needs at least "
            f"{SECRET_CHARACTERS_MIN} plain characters, such as from: openssl rand -hex 32"
        )
    return secret
