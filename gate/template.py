"""``gate.toml`` as it is written when a gate is provisioned: every key, with what it does.

A key at its default stands there as a comment, so that a newer version's default holds.
"""

from __future__ import annotations

import json

from pydantic import BaseModel

_SECTIONS: dict[str, tuple[str, dict[str, str]]] = {
    "door": (
        "What opens.",
        {
            "driver": "console (prints), gpio (a relay), mqtt or http (a door controller)",
            "pulse_s": "how long one opening lasts, in seconds",
            "held_after_s": "a door that stands open this long after its pulse is reported",
            "fail_open": "without power or program: true lets everybody out, false stays shut",
            "pin": "gpio: the relay's pin, by BCM number",
            "active_high": "gpio: false for relay boards that switch on when the pin is low",
            "sensor_pin": "gpio: a contact to ground that is closed while the door is shut",
            "release_pin": "gpio: the staff's release button, to ground",
            "broker": "mqtt: such as mqtts://broker.example:8883",
            "topic": "mqtt: where the commands go, such as doors/south-1",
            "state_topic": "mqtt: where the door tells open or closed",
            "username": "mqtt: the name to sign in with; the password is in door.secret",
            "url": "http: such as https://door.example/command",
            "auth": "http: bearer (door.secret is the token) or hmac (it signs each command)",
        },
    ),
    "camera": (
        "Where the pictures come from.",
        {
            "source": "a device number, or an rtsp:// or http:// address",
            "rotation": "0, 90, 180 or 270 degrees clockwise, for a camera that hangs askew",
            "region": "the part that is looked at at all: left, top, right, bottom, 0 to 1",
        },
    ),
    "kiosk": (
        "The screen: a page for a browser on this machine.",
        {
            "port": "0: no screen; 8430 is customary",
            "language": "both, en or zh to begin with; riders switch on the screen",
            "sound": "a short tone for go and for stop",
            "silhouette": "where the face is, from its box alone; there is never a picture",
        },
    ),
    "metrics": (
        "Figures for Prometheus, served to this machine alone.",
        {"port": "0: none; 9464 is customary"},
    ),
    "policy": (
        "How far a face alone is trusted at this gate.",
        {
            "liveness": "full, pair, still or off; see docs/liveness.md",
            "currency": "of the amounts below",
            "ride_max": "the most one ride by face alone may cost",
            "day_max": "the most one account may ride for by face alone in a day",
            "account_max": "the most until the pass is asked for again",
            "openings_a_day": "how often one face opens in a day",
            "openings_since_pass": "how often it opens until the pass is asked for again",
            "not_live_a_day": "after so many findings against a face it opens nothing that day",
            "weak_part": "this part of every limit holds where liveness was weak",
            "offline_openings_max": "openings of one account that may wait for the ledger",
            "pass_only_after_h": "hours without the server until faces alone open nothing",
            "reentry_s": "the same account is not charged again within so many seconds",
        },
    ),
}


def written(file: BaseModel) -> str:
    """The text of ``gate.toml``. JSON strings, numbers and lists are valid TOML."""
    lines = ["# This gate. Restart its program after a change, and run: facefare gate doctor", ""]
    for name, value in file:
        if name not in _SECTIONS:
            lines.append(f"{name} = {_toml(value)}")
    for name in _SECTIONS:
        lines += _section(name, getattr(file, name))
    return "\n".join(lines) + "\n"


def _section(name: str, section: BaseModel) -> list[str]:
    heading, keys = _SECTIONS[name]
    lines = ["", f"[{name}]", f"# {heading}"]
    for key, what in keys.items():
        value = getattr(section, key)
        default = value == type(section).model_fields[key].default
        lines += [f"# {what}", f"{'# ' if default else ''}{key} = {_toml(value)}"]
    return lines


def _toml(value: object) -> str:
    return '""' if value is None else json.dumps(value, ensure_ascii=False)
