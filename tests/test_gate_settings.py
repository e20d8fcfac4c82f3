"""The gate's own file: what it may say, and how a mistake in it is told."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from gate.errors import GateConfigError
from gate.identity import GateFile, load_identity, make_keys, save_identity
from gate.liveness.choices import CHOICES
from gate.liveness.risk import SAFE
from gate.settings import (
    CameraSettings,
    DoorSettings,
    KioskSettings,
    MetricsSettings,
    PolicySettings,
    Section,
)
from gate.template import written
from models.money import Money
from models.wire.keys import base64url, raw_public

KEY = base64url(raw_public(Ed25519PrivateKey.generate().public_key()))
SECTIONS = {
    "door": DoorSettings,
    "camera": CameraSettings,
    "kiosk": KioskSettings,
    "metrics": MetricsSettings,
    "policy": PolicySettings,
}


def gate_file(**sections: object) -> GateFile:
    return GateFile.model_validate(
        {
            "gate": "south-1",
            "station": "south",
            "direction": "in",
            "server": "https://fares.example",
            "enrollment_key": KEY,
            **sections,
        }
    )


def fault(tmp_path: Path, more: str) -> str:
    """The message for a provisioned gate whose file had ``more`` added to it."""
    make_keys(tmp_path)
    text = written(gate_file()).split("\n[door]")[0]
    (tmp_path / "gate.toml").write_text(f"{text}\n{more}\n", encoding="utf-8")
    with pytest.raises(GateConfigError) as caught:
        load_identity(tmp_path)
    return str(caught.value)


def test_a_new_gates_file_names_every_key_and_changes_nothing(tmp_path: Path) -> None:
    make_keys(tmp_path)
    save_identity(tmp_path, gate_file())
    text = (tmp_path / "gate.toml").read_text(encoding="utf-8")
    assert load_identity(tmp_path).file == gate_file()
    for name, section in SECTIONS.items():
        part = text.split(f"[{name}]")[1].split("\n[")[0]
        named = set(re.findall(r"^(?:# )?([a-z_]+) = ", part, re.MULTILINE))
        assert named == set(section.model_fields), name


def test_every_commented_key_with_a_value_can_be_uncommented(tmp_path: Path) -> None:
    text = re.sub(r"^# ([a-z_]+ = )(?!\"\")", r"\1", written(gate_file()), flags=re.MULTILINE)
    assert GateFile.model_validate(tomllib.loads(text)) == gate_file()


def test_what_is_not_at_its_default_survives_the_file(tmp_path: Path) -> None:
    make_keys(tmp_path)
    wanted = gate_file(
        door={"driver": "gpio", "pin": 17, "sensor_pin": 27, "fail_open": True, "pulse_s": 2.5},
        camera={"source": "rtsp://10.0.0.9/s", "rotation": 90, "region": (0.1, 0, 0.9, 1)},
        kiosk={"port": 8430, "language": "zh", "sound": True, "silhouette": False},
        metrics={"port": 9464},
        policy={"currency": "CNY", "ride_max": "12.00", "liveness": "pair"},
    )
    save_identity(tmp_path, wanted)
    assert load_identity(tmp_path).file == wanted


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ("[door]\ndriver = 'gpio'", "the driver 'gpio' needs the key 'pin'"),
        ("[door]\ndriver = 'mqtt'\nbroker = 'mqtt://localhost'", "needs the key 'topic'"),
        ("[door]\ndriver = 'http'", "needs the key 'url'"),
        ("[door]\ndriver = 'lever'", "door.driver cannot be 'lever'"),
        ("[door]\npulse_s = 0", "door.pulse_s cannot be 0"),
        ("[door]\npulse_s = 99.0", "door.pulse_s cannot be 99.0"),
        ("[door]\npulse_s = nan", "door.pulse_s"),
        ("[door]\nheld_after_s = 0.5", "door.held_after_s"),
        ("[door]\nfail_opne = true", "door.fail_opne is not a key that is known here"),
        ("[door]\nfail_open = 'yes please'", "door.fail_open"),
        ("[door]\ndriver = 'gpio'\npin = 40", "door.pin cannot be 40"),
        ("[door]\ndriver = 'gpio'\npin = 4\nsensor_pin = 4", "three different pins"),
        ("[door]\npin = 4", "'pin' belongs to the driver 'gpio'"),
        ("[door]\nurl = 'https://door.example'", "'url' belongs to the driver 'http'"),
        ("[door]\ndriver = 'http'\nurl = 'http://door.example/x'", "use https://"),
        ("[door]\ndriver = 'mqtt'\ntopic = 'a'\nbroker = 'mqtt://10.0.0.5'", "use mqtts://"),
        ("[door]\ndriver = 'mqtt'\nbroker = 'mqtts://b'\ntopic = 'doors/#'", "door.topic"),
        ("[door]\nauth = 'none'", "door.auth"),
        ("[camera]\nrotation = 45", "camera.rotation cannot be 45"),
        ("[camera]\nregion = [0.9, 0, 0.1, 1]", "left < right"),
        ("[camera]\nregion = [0, 0, 2, 1]", "camera.region.2 cannot be 2"),
        ("[camera]\nsource = ''", "camera.source"),
        ("[kiosk]\nport = 70000", "kiosk.port cannot be 70000"),
        ("[kiosk]\nlanguage = 'fr'", "kiosk.language cannot be 'fr'"),
        ("[metrics]\nport = -1", "metrics.port"),
        ("[policy]\nliveness = 'blink'", "policy.liveness cannot be 'blink'"),
        ("[policy]\nride_max = '5.00'", "'ride_max' is an amount"),
        ("[policy]\ncurrency = 'CNY'\nday_max = '1.234'", "'day_max'"),
        ("[policy]\ncurrency = 'CNY'\naccount_max = '-1'", "'account_max' cannot be negative"),
        ("[policy]\ncurrency = 'Yuan'\nride_max = '1'", "not an ISO 4217"),
        ("[policy]\nopenings_a_day = -1", "policy.openings_a_day"),
        ("[policy]\nopenings_since_pass = -1", "policy.openings_since_pass"),
        ("[policy]\nnot_live_a_day = 0", "policy.not_live_a_day"),
        ("[policy]\nweak_part = 1.5", "policy.weak_part"),
        ("[policy]\noffline_openings_max = -1", "policy.offline_openings_max"),
        ("[policy]\npass_only_after_h = 200", "policy.pass_only_after_h"),
        ("[policy]\nreentry_s = -1", "policy.reentry_s"),
        ("[doors]\ndriver = 'console'", "doors is not a key that is known here"),
    ],
)
def test_a_mistake_is_told_by_the_name_of_its_key(tmp_path: Path, more: str, said: str) -> None:
    assert said in fault(tmp_path, more)


def test_several_mistakes_are_told_at_once(tmp_path: Path) -> None:
    message = fault(tmp_path, "[door]\npulse_s = 99\n[kiosk]\nport = -5")
    assert "door.pulse_s" in message and "kiosk.port" in message


def test_a_password_in_an_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    message = fault(tmp_path, "[door]\ndriver = 'http'\nurl = 'https://me:Secret7@door.example/x'")
    assert "door.secret" in message and "Secret7" not in message


def test_the_limits_are_those_of_the_policy() -> None:
    assert PolicySettings().limits() == SAFE
    limits = PolicySettings(currency="CNY", ride_max="12.50", openings_a_day=2).limits()
    assert limits.ride_max == Money(1250, "CNY")
    assert limits.openings_a_day == 2


def test_the_liveness_choices_are_those_there_are() -> None:
    choices = PolicySettings.model_fields["liveness"].annotation
    assert set(choices.__args__) == set(CHOICES)  # type: ignore[union-attr]


@pytest.mark.parametrize("section", SECTIONS.values())
def test_every_section_refuses_what_it_does_not_know(section: type[Section]) -> None:
    with pytest.raises(ValueError, match="not permitted"):
        section.model_validate({"unheard_of": 1})
