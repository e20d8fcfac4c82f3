"""A door controller on an MQTT broker.

    TOPIC            {"at":"…","command":"open","id":"…","seconds":3.0}   QoS 1, not retained
    TOPIC/mode       gate | open | shut                                    QoS 1, retained
    STATE_TOPIC      open | closed                                         from the controller

``mode`` is who decides: ``gate`` while the gate's program is there. When the connection is
lost, by a crash, a power cut or a cut cable, the broker itself publishes the last will:
``open`` or ``shut``, as ``fail_open`` says; a controller obeys it until ``gate`` comes back.
The gate says so at every connection, also after one that was lost for a moment only. Its
client id stays the same, so that the broker ends the lost one, will and all, before the new.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any
from urllib.parse import urlsplit

from uuid6 import uuid7

from gate.doors.driven import Moved
from gate.errors import DoorError
from gate.settings import DoorSettings
from models.wire.times import format_utc

TIMEOUT_S = 2.0
KEEPALIVE_S = 10
PORTS = {"mqtt": 1883, "mqtts": 8883}


class MqttDriver:
    """Commands through the broker; a new session for every start, so that no old command
    is ever delivered late."""

    def __init__(self, settings: DoorSettings, password: str) -> None:
        self._settings = settings
        self._topic = settings.topic or ""
        self._password = password
        self._client: Any = None
        # No longer than the 23 characters that every broker takes.
        self._client_id = f"facefare-{secrets.token_hex(6)}"
        self._taken_over: Any = None
        self._connected = threading.Event()
        self._refusal = ""

    def start(self, moved: Moved, pressed: Callable[[], None]) -> None:
        """Connect, listen to the door's state, and take over from the last will."""
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError as error:
            raise DoorError("MQTT needs the package paho-mqtt; install facefare[mqtt]") from error
        self._connected.clear()
        self._refusal = ""
        client = Client(CallbackAPIVersion.VERSION2, self._client_id, clean_session=True)
        self._client = client
        self._prepare(client, moved)
        parts = urlsplit(self._settings.broker or "")
        try:
            client.connect(str(parts.hostname), parts.port or PORTS[parts.scheme], KEEPALIVE_S)
        except (OSError, ValueError) as error:
            raise DoorError(
                f"the broker {self._settings.broker} cannot be reached ({error}); check its "
                "address, its certificate and the network"
            ) from error
        client.loop_start()
        if not self._connected.wait(TIMEOUT_S):
            raise DoorError(
                f"the broker {self._settings.broker} does not let this gate in "
                f"({self._refusal or 'no answer'}); check door.username and door.secret"
            )
        self._confirm(self._taken_over)

    def _prepare(self, client: Any, moved: Moved) -> None:
        client.will_set(f"{self._topic}/mode", self._mode_without_us, qos=1, retain=True)
        if urlsplit(self._settings.broker or "").scheme == "mqtts":
            client.tls_set()
        if self._settings.username:
            client.username_pw_set(self._settings.username, self._password)
        client.connect_timeout = TIMEOUT_S
        client.on_connect = self._on_connect
        client.on_disconnect = lambda *_: self._connected.clear()
        client.on_message = lambda _client, _data, message: _heard(message, moved)

    @property
    def _mode_without_us(self) -> str:
        return "open" if self._settings.fail_open else "shut"

    def _on_connect(self, client: Any, data: Any, flags: Any, reason: Any, more: Any) -> None:
        if reason.is_failure:
            self._refusal = str(reason)
            return
        if self._settings.state_topic:
            client.subscribe(self._settings.state_topic, qos=1)
        # The broker may have published the last will since: without this it would stand.
        self._taken_over = client.publish(f"{self._topic}/mode", "gate", qos=1, retain=True)
        self._connected.set()

    def unlock(self, seconds: float) -> None:
        """Have the controller open for ``seconds``; the broker has the command on return."""
        message = {
            "at": format_utc(datetime.now(UTC)),
            "command": "open",
            "id": str(uuid7()),
            "seconds": seconds,
        }
        self.check()
        self._confirm(self._client.publish(self._topic, json.dumps(message), qos=1))

    def lock(self) -> None:
        """The controller times the pulse."""

    def check(self) -> None:
        """Raise where the connection is lost."""
        if not self._connected.is_set():
            raise DoorError(
                f"the connection to the broker {self._settings.broker} is lost; check the "
                "broker and the network"
            )

    def close(self) -> None:
        """Say goodbye as the last will would, which a clean goodbye keeps from being sent."""
        client, self._client = self._client, None
        if client is None:
            return
        if self._connected.is_set():
            client.publish(f"{self._topic}/mode", self._mode_without_us, qos=1, retain=True)
            client.disconnect()
        client.loop_stop()
        self._connected.clear()

    def _confirm(self, sent: Any) -> None:
        try:
            sent.wait_for_publish(TIMEOUT_S)
        except (RuntimeError, ValueError) as error:
            raise DoorError(f"the broker does not take the command: {error}") from error
        if not sent.is_published():
            raise DoorError(
                f"the broker {self._settings.broker} does not confirm a command within "
                f"{TIMEOUT_S:.0f} s; check the broker and the network"
            )


def _heard(message: Any, moved: Moved) -> None:
    """``open`` or ``closed``; any other word says nothing about the door."""
    word = message.payload.strip().lower()
    if word in (b"open", b"closed"):
        moved(word == b"open", bool(message.retain))
