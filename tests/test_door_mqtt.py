"""A door on a real MQTT broker: commands, the last will, and a broker that goes away."""

from __future__ import annotations

import io
import json
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gate.doors.choices import make_door
from gate.doors.driven import DrivenDoor
from gate.doors.events import DoorEvent
from gate.doors.mqtt import MqttDriver
from gate.errors import DoorError
from gate.settings import DoorSettings
from tests.broker import Broker, Controller, free_port
from tests.door_told import ACCOUNT, Told, wait_for

TOPIC = "doors/south-1"


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    made = Broker(tmp_path)
    made.start()
    yield made
    made.kill()


@pytest.fixture
def controller(broker: Broker) -> Iterator[Controller]:
    made = Controller(broker, TOPIC)
    yield made
    made.stop()


def settings(broker: Broker, **more: Any) -> DoorSettings:
    return DoorSettings(driver="mqtt", broker=broker.url, topic=TOPIC, **more)


@pytest.fixture
def door(broker: Broker, controller: Controller) -> Iterator[tuple[DrivenDoor, Told]]:
    told = Told()
    wanted = settings(broker, state_topic=f"state/{TOPIC}", pulse_s=2.5)
    made = make_door(wanted, Path("nowhere"), io.StringIO(), told)
    assert isinstance(made, DrivenDoor)
    made.start()
    wait_for(lambda: not made.fault)
    yield made, told
    made.stop()


def test_a_passage_is_one_command_and_its_door_tells_of_it(
    door: tuple[DrivenDoor, Told], controller: Controller
) -> None:
    made, told = door
    made.open(ACCOUNT)
    wait_for(controller.commands)
    (command,) = map(json.loads, controller.commands())
    assert (command["command"], command["seconds"]) == ("open", 2.5)
    assert ACCOUNT not in str(controller.heard)
    controller.tell("open")
    wait_for(lambda: told.kinds() == [DoorEvent.OPENED])
    controller.tell("closed")
    wait_for(lambda: told.kinds() == [DoorEvent.OPENED, DoorEvent.CLOSED])


def test_a_door_that_opens_by_itself_was_forced(
    door: tuple[DrivenDoor, Told], controller: Controller
) -> None:
    controller.tell("ajar, perhaps")
    controller.tell("open")
    wait_for(lambda: door[1].kinds() == [DoorEvent.FORCED])


def test_the_gate_takes_over_and_hands_back(
    door: tuple[DrivenDoor, Told], controller: Controller
) -> None:
    wait_for(lambda: controller.modes() == ["gate"])
    door[0].stop()
    wait_for(lambda: controller.modes() == ["gate", "shut"])


def test_after_a_short_drop_the_gate_takes_over_again(
    door: tuple[DrivenDoor, Told], controller: Controller
) -> None:
    """A second without a connection falls between two checks of the door's thread."""
    made, _ = door
    wait_for(lambda: controller.modes() == ["gate"])
    driver: Any = made._driver
    driver._client.socket().shutdown(socket.SHUT_RDWR)
    wait_for(lambda: controller.modes() == ["gate", "shut", "gate"], 8)
    assert made.fault == ""
    made.open(ACCOUNT)
    wait_for(controller.commands)


def test_the_will_of_a_connection_that_is_gone_does_not_come_after_the_next(
    broker: Broker, controller: Controller
) -> None:
    """A cut cable: the broker believes in the old connection until nothing is heard of it."""
    driver = MqttDriver(settings(broker), "")
    driver.start(lambda is_open, as_found: None, lambda: None)
    lost: Any = driver._client
    lost.loop_stop()
    try:
        driver.start(lambda is_open, as_found: None, lambda: None)
        wait_for(lambda: controller.modes() == ["gate", "shut", "gate"], 8)
    finally:
        lost.socket().close()
        driver.close()
    wait_for(lambda: controller.modes() == ["gate", "shut", "gate", "shut"])


@pytest.mark.parametrize(("fail_open", "will"), [(False, "shut"), (True, "open")])
def test_the_broker_speaks_for_a_gate_that_was_killed(
    broker: Broker, controller: Controller, fail_open: bool, will: str
) -> None:
    program = (
        "import sys, time\n"
        "from gate.doors.mqtt import MqttDriver\n"
        "from gate.settings import DoorSettings\n"
        "driver = MqttDriver(DoorSettings.model_validate_json(sys.argv[1]), '')\n"
        "driver.start(print, print)\n"
        "time.sleep(60)\n"
    )
    text = settings(broker, fail_open=fail_open).model_dump_json()
    process = subprocess.Popen([sys.executable, "-c", program, text])
    try:
        wait_for(lambda: controller.modes() == ["gate"], 20)
    finally:
        process.kill()
        process.wait()
    wait_for(lambda: controller.modes() == ["gate", will])


def test_a_broker_that_dies_is_a_fault_and_its_return_mends_it(
    door: tuple[DrivenDoor, Told], broker: Broker
) -> None:
    made, told = door
    broker.kill()
    wait_for(lambda: not _opens(made), 10)
    wait_for(lambda: "broker" in made.fault)
    broker.start()
    wait_for(lambda: not made.fault, 20)
    late = Controller(broker, TOPIC)
    try:
        made.open(ACCOUNT)
        wait_for(late.commands)
        assert len(late.commands()) == 1, "no command of before is delivered late"
    finally:
        late.stop()
    assert DoorEvent.FAILED in told.kinds()


def test_a_broker_that_is_not_there_is_a_fault_in_words() -> None:
    wanted = DoorSettings(driver="mqtt", broker=f"mqtt://127.0.0.1:{free_port()}", topic=TOPIC)
    made = make_door(wanted, Path("nowhere"), io.StringIO(), Told())
    made.start()
    try:
        wait_for(lambda: "cannot be reached" in made.fault)
    finally:
        made.stop()


def _opens(door: DrivenDoor) -> bool:
    try:
        door.open(ACCOUNT)
    except DoorError:
        return False
    return True
