"""A real MQTT broker for the tests: mosquitto where it is installed, else amqtt from PyPI."""

from __future__ import annotations

import importlib.util
import shutil
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

from paho.mqtt import client as paho

from tests.conftest import missing

_AMQTT = """
listeners:
  default:
    type: tcp
    bind: 127.0.0.1:{port}
plugins:
  amqtt.plugins.authentication.AnonymousAuthPlugin:
    allow_anonymous: true
"""
_MOSQUITTO = "listener {port} 127.0.0.1\nallow_anonymous true\n"


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Broker:
    """One broker process on loopback; it can be killed and started again on its port."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.port = free_port()
        self.url = f"mqtt://127.0.0.1:{self.port}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        config = self._path / "broker.conf"
        # Debian keeps it where only root looks.
        mosquitto = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if mosquitto is None and importlib.util.find_spec("amqtt") is None:
            missing("an MQTT broker: mosquitto, or amqtt from PyPI")
        text, command = (
            (_MOSQUITTO, [mosquitto])
            if mosquitto
            else (_AMQTT, [sys.executable, "-m", "amqtt.scripts.broker_script"])
        )
        config.write_text(text.format(port=self.port), encoding="utf-8")
        with (self._path / "broker.log").open("ab") as log:
            self._process = subprocess.Popen([*command, "-c", str(config)], stdout=log, stderr=log)
        until = time.monotonic() + 30
        while time.monotonic() < until:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return
            assert self._process.poll() is None, (self._path / "broker.log").read_text()
            time.sleep(0.05)
        raise AssertionError("the broker did not start")

    def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None


class Controller:
    """A door controller on the broker, as somebody else would build one."""

    def __init__(self, broker: Broker, topic: str) -> None:
        self._topic = topic
        self.heard: list[tuple[str, str]] = []
        self._ready = threading.Event()
        self._client: Any = paho.Client(paho.CallbackAPIVersion.VERSION2)
        self._client.on_connect = lambda client, *_: client.subscribe(f"{topic}/#", qos=1)
        self._client.on_subscribe = lambda *_: self._ready.set()
        self._client.on_message = lambda _c, _d, m: self.heard.append(
            (m.topic.removeprefix(topic), m.payload.decode())
        )
        self._client.connect("127.0.0.1", broker.port)
        self._client.loop_start()
        assert self._ready.wait(10)

    def tell(self, word: str) -> None:
        self._client.publish("state/" + self._topic, word, qos=1)

    def commands(self) -> list[str]:
        return [text for place, text in self.heard if place == ""]

    def modes(self) -> list[str]:
        return [text for place, text in self.heard if place == "/mode"]

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()
