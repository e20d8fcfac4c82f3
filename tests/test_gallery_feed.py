"""What a gate is sent: whole galleries, changes, and an answer that waits for news."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from sqlmodel import select

from enrollment import gallery_feed
from enrollment.erase import erase_rider
from enrollment.form import FaceForm, read_face_form
from enrollment.freeze import freeze_rider, thaw_rider
from enrollment.gallery import move_gallery_version
from enrollment.gallery_feed import Memory
from enrollment.media import pass_only
from enrollment.own_stations import change_stations
from enrollment.passes import issue_pass
from models.access.gates import revoke_gate
from models.database import writing
from models.tables.riders import Rider, RiderStation
from models.wire.gallery import MEDIA_TYPE, GallerySnapshot, open_gallery, seal_gallery
from models.wire.gallery_changes import CHANGE_MEDIA_TYPE, is_change, open_change
from tests.desk import Desk, TestGate
from tests.pass_riders import put_rider, unit


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


@dataclass
class Kept:
    """A gate that keeps what it is sent, as a real one does."""

    desk: Desk
    gate: TestGate
    whole: GallerySnapshot | None = None
    now: GallerySnapshot | None = None
    kinds: str = ""  # w: a whole gallery, c: a change, -: nothing new

    def ask(self, more: str = "") -> None:
        have = -1 if self.now is None else self.now.version
        base = "" if self.whole is None else f"&base={self.whole.version}"
        answer = self.gate.get(
            self.desk.app.test_client(), f"/api/v1/gallery?have={have}{base}{more}"
        )
        if answer.status_code == 204:
            self.kinds += "-"
            return
        key = self.desk.enrollment.signing_key.public_key()
        if is_change(answer.data):
            assert answer.mimetype == CHANGE_MEDIA_TYPE
            assert self.whole is not None
            self.now = open_change(answer.data, self.whole, self.gate.box_key, key, have)
            self.kinds += "c"
        else:
            assert answer.mimetype == MEDIA_TYPE
            self.now = open_gallery(answer.data, self.gate.name, self.gate.box_key, key, 0)
            self.whole = self.now
            self.kinds += "w"

    @property
    def accounts(self) -> set[str]:
        assert self.now is not None
        return {rider.account for rider in self.now.riders}


def kept(desk: Desk, name: str, station: str = "south") -> Kept:
    return Kept(desk, desk.add_gate(name, station))


def test_after_the_whole_gallery_only_changes_travel(desk: Desk) -> None:
    riders = [put_rider(desk, unit(seed)) for seed in range(6)]
    gate = kept(desk, "south-1")
    gate.ask()
    riders.append(put_rider(desk, unit(7)))
    gate.ask()
    freeze_rider(desk.enrollment, riders.pop(0).rider_id, desk.now)
    gate.ask()
    gate.ask()
    assert gate.kinds == "wcc-"
    assert gate.accounts == {rider.account_id for rider in riders}


@pytest.mark.parametrize("leaves", [
    lambda desk, rider: erase_rider(desk.enrollment, rider.rider_id),
    lambda desk, rider: pass_only(desk.enrollment, rider.rider_id, desk.now),
    lambda desk, rider: issue_pass(desk.enrollment, rider.rider_id, "face+pass", desk.now),
    lambda desk, rider: change_stations(
        desk.enrollment, rider.rider_id, moved_to("drum-tower"), "mei", desk.now
    ),
])  # fmt: skip
def test_who_leaves_for_good_stays_in_no_gallery_on_a_gates_disk(
    desk: Desk, leaves: Callable[[Desk, Rider], object]
) -> None:
    """After a change the whole one would still lie there, and the gate can open it."""
    riders = [put_rider(desk, unit(seed)) for seed in range(6)]
    gate = kept(desk, "south-1")
    gate.ask()
    leaves(desk, riders[0])
    gate.ask()
    assert gate.kinds == "ww"
    assert gate.accounts == {rider.account_id for rider in riders[1:]}


def moved_to(*stations: str) -> FaceForm:
    return read_face_form(
        {"medium": "face", "stations": stations, "language": "en", "consent_text": "en-2",
         "consent_given": True}
    )  # fmt: skip


def test_a_change_and_the_whole_give_the_same_gallery(desk: Desk) -> None:
    riders = [put_rider(desk, unit(seed), digits=f"{seed:04}") for seed in range(8)]
    gate = kept(desk, "south-1")
    gate.ask()
    with writing(desk.enrollment.riders) as session:
        rider = session.get(Rider, riders[2].rider_id)
        assert rider is not None
        rider.look_alike = True
        session.add(rider)
        move_gallery_version(session, ("south",))
    freeze_rider(desk.enrollment, riders[3].rider_id, desk.now)
    issue_pass(desk.enrollment, riders[4].rider_id, "pass", desk.now)
    gate.ask()
    other = kept(desk, "south-2")
    other.ask()
    assert (gate.kinds, other.kinds) == ("wc", "w")
    assert gate.now is not None
    assert other.now is not None
    by_account = {rider.account: rider for rider in gate.now.riders}
    assert by_account == {rider.account: rider for rider in other.now.riders}
    assert by_account[riders[2].account_id].ask
    assert by_account[riders[5].account_id].digits == "0005"
    assert gate.now.passes == other.now.passes
    assert gate.now.passes is not None


def test_a_server_that_was_restarted_sends_the_whole_once(desk: Desk) -> None:
    for seed in range(6):
        put_rider(desk, unit(seed))
    gate = kept(desk, "south-1")
    gate.ask()
    desk.app = desk._application()  # nothing is remembered
    put_rider(desk, unit(7))
    gate.ask()
    put_rider(desk, unit(8))
    gate.ask()
    assert gate.kinds == "wwc"


def test_a_server_learns_again_what_a_gate_has_when_it_asks(desk: Desk) -> None:
    for seed in range(6):
        put_rider(desk, unit(seed))
    gate = kept(desk, "south-1")
    gate.ask()
    desk.app = desk._application()
    gate.ask()
    put_rider(desk, unit(8))
    gate.ask()
    assert gate.kinds == "w-c"


def test_where_most_is_new_the_whole_travels(desk: Desk) -> None:
    put_rider(desk, unit(0))
    gate = kept(desk, "south-1")
    gate.ask()
    for seed in range(1, 5):
        put_rider(desk, unit(seed))
    gate.ask()
    assert gate.kinds == "ww"


def test_a_rider_of_one_station_does_not_wake_the_gates_of_another(desk: Desk) -> None:
    south, tower = kept(desk, "south-1"), kept(desk, "tower-1", "drum-tower")
    south.ask()
    tower.ask()
    rider = put_rider(desk, unit(1), "south")
    south.ask()
    tower.ask()
    assert (south.kinds, tower.kinds) == ("ww", "w-")
    erase_rider(desk.enrollment, rider.rider_id)  # whoever had them, everybody looks again
    tower.ask()
    assert tower.kinds == "w-c"


def test_a_rider_without_a_data_key_is_taken_out_by_the_next_answer(desk: Desk) -> None:
    """Between the erasure of the key and of the rows another gate asks: nobody is overlooked."""
    riders = [put_rider(desk, unit(seed)) for seed in range(5)]
    gate = kept(desk, "south-1")
    gate.ask()
    desk.enrollment.vault.erase(f"rider:{riders[0].rider_id}")
    desk.app = desk._application()
    other = kept(desk, "south-2")
    other.ask()
    assert riders[0].account_id not in other.accounts
    with writing(desk.enrollment.riders) as session:
        move_gallery_version(session)
    gate.ask()
    assert gate.kinds == "ww"
    assert riders[0].account_id not in gate.accounts


def test_freezing_a_rider_reaches_a_waiting_gate_at_once(desk: Desk) -> None:
    riders = [put_rider(desk, unit(seed)) for seed in range(4)]
    gate = kept(desk, "south-1")
    gate.ask()
    took_s = []

    def wait() -> None:
        began = time.monotonic()
        gate.ask("&wait=20")
        took_s.append(time.monotonic() - began)

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.6)
    assert gate.kinds == "w"
    freeze_rider(desk.enrollment, riders[0].rider_id, desk.now)
    waiting.join(10)
    assert gate.kinds == "wc"
    assert riders[0].account_id not in gate.accounts
    assert took_s[0] < 5
    thaw_rider(desk.enrollment, riders[0].rider_id)
    gate.ask()
    assert riders[0].account_id in gate.accounts


def test_without_news_the_answer_comes_when_the_wait_is_over(desk: Desk) -> None:
    gate = kept(desk, "south-1")
    gate.ask()
    began = time.monotonic()
    gate.ask("&wait=0.5")
    assert 0.5 <= time.monotonic() - began < 5
    assert gate.kinds == "w-"


@pytest.mark.parametrize("wait", ["nan", "-1", "x", "0", ""])
def test_a_wait_that_is_none_is_not_waited_for(desk: Desk, wait: str) -> None:
    gate = kept(desk, "south-1")
    gate.ask()
    began = time.monotonic()
    gate.ask(f"&wait={wait}")
    assert time.monotonic() - began < 2


def test_a_gate_that_is_revoked_while_it_waits_gets_nothing(desk: Desk) -> None:
    put_rider(desk, unit(1))
    gate = desk.add_gate("south-1")
    answers = []

    def wait() -> None:
        client = desk.app.test_client()
        answers.append(gate.get(client, "/api/v1/gallery?have=1&base=1&wait=20"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    time.sleep(0.6)
    revoke_gate(desk.enrollment.access, "south-1", desk.now)
    put_rider(desk, unit(2))
    waiting.join(10)
    assert answers[0].status_code == 401
    assert "was revoked" in answers[0].text


def test_only_so_many_questions_wait_and_the_others_are_told(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(gallery_feed, "WAITING_MAX", 0)
    memory = Memory()
    began = time.monotonic()
    assert not gallery_feed.wait_for_change(desk.enrollment, memory, "south", 0, 20)
    assert time.monotonic() - began < 1
    desk.app = desk._application()
    gate = desk.add_gate("south-1")
    answer = gate.get(desk.app.test_client(), "/api/v1/gallery?have=0&wait=20")
    assert (answer.status_code, answer.headers["Retry-After"]) == (204, "15")


def test_the_memory_forgets_the_gallery_that_was_not_asked_for_longest() -> None:
    memory = Memory()
    for version in range(65):
        memory.remember("south", version, {"a": b"1"})
        memory.recall("south", 1)
    assert memory.recall("south", 0) is None
    assert memory.recall("south", 1) == {"a": b"1"}
    assert memory.recall("tower", 1) is None
    assert memory.recall("south", None) is None


def test_ten_thousand_riders_change_in_kilobytes_not_megabytes(desk: Desk) -> None:
    """Why changes travel by themselves; the figure is in docs/passes.md."""
    from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey

    from models.wire.gallery import GalleryRider

    rows = np.random.default_rng(1).standard_normal((10_000, 128)).astype("<f4")
    rows /= np.linalg.norm(rows, axis=1, keepdims=True)
    riders = tuple(
        GalleryRider(account=os.urandom(16).hex(), template=row.tobytes(), images=3) for row in rows
    )
    snapshot = GallerySnapshot(
        engine_id="dlib-resnet-1", dimensions=128, version=1, gate="south-1",
        issued_at="2026-11-22T18:49:07.250Z", riders=riders,
    )  # fmt: skip
    box = X25519PrivateKey.generate().public_key()
    assert 7_000_000 < len(seal_gallery(snapshot, box, desk.enrollment.signing_key)) < 9_000_000
    for seed in range(20):
        put_rider(desk, unit(seed))
    gate = kept(desk, "south-1")
    gate.ask()
    put_rider(desk, unit(21))
    answer = gate.gate.get(
        desk.app.test_client(),
        f"/api/v1/gallery?have=20&base={gate.now.version}",  # type: ignore[union-attr]
    )
    assert is_change(answer.data)
    assert len(answer.data) < 2_500


def test_stations_are_counted_apart(desk: Desk) -> None:
    put_rider(desk, unit(1), "south")
    put_rider(desk, unit(2), "drum-tower")
    with writing(desk.enrollment.riders) as session:
        assert len(session.exec(select(RiderStation)).all()) == 2
    south, tower = kept(desk, "south-1"), kept(desk, "tower-1", "drum-tower")
    south.ask()
    tower.ask()
    assert south.now is not None
    assert tower.now is not None
    assert (south.now.version, tower.now.version) == (1, 1)
    assert len(south.accounts) == len(tower.accounts) == 1
