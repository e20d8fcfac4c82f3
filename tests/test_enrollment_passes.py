"""Passes at enrollment: one a rider, nothing biometric left behind, revoked for good."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import cv2
import numpy as np
import pytest
import zxingcpp
from click.testing import CliRunner
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PublicKey
from jwt.utils import base64url_decode
from PIL import Image
from sqlalchemy.exc import IntegrityError
from sqlmodel import select

from enrollment.erase import erase_rider
from enrollment.form import EnrollmentRefused
from enrollment.freeze import freeze_rider, thaw_rider
from enrollment.pass_keys import VALID_FOR, rotate_pass_key
from enrollment.pass_pictures import as_pdf, as_png, as_svg, code_of
from enrollment.passes import (
    EXPIRED_FOR,
    IssuedPass,
    PassNotIssued,
    issue_pass,
    list_passes,
    pass_rules,
    renew_pass,
)
from enrollment.passes_cli import passes
from models.database import reading, writing
from models.faces.quantise import restore
from models.tables.riders import Pass, Rider, Template
from models.vault import KeyErased
from models.wire.gallery import PassRules
from models.wire.pass_text import unpack_pass
from models.wire.passes import Pass as SignedPass
from models.wire.passes import PassForged, PassRefused, check_pass
from tests.desk import Desk
from tests.pass_riders import put_rider, unit


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(tmp_path)
    yield desk
    desk.close()


def rules(desk: Desk) -> PassRules:
    with reading(desk.enrollment.riders) as session:
        found = pass_rules(desk.enrollment, session, desk.now)
    assert found is not None
    return found


def checked(desk: Desk, issued: IssuedPass) -> SignedPass:
    told = rules(desk)
    return check_pass(unpack_pass(issued.qr_text), told.public_keys(), told.issuer, desk.now)


def templates(desk: Desk) -> int:
    with reading(desk.enrollment.riders) as session:
        return len(session.exec(select(Template)).all())


def on_disk(desk: Desk) -> bytes:
    """Every byte of the data directory, journals included."""
    return b"".join(file.read_bytes() for file in desk.data.path.rglob("*") if file.is_file())


def test_a_pass_names_the_account_and_nothing_else_of_the_rider(desk: Desk) -> None:
    rider = put_rider(desk, None)
    issued = issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
    found = checked(desk, issued)
    assert (found.account, found.medium, found.template) == (rider.account_id, "pass", None)
    assert found.expires_at == desk.now + VALID_FOR
    assert rider.name not in unpack_pass(issued.qr_text)
    [row] = list_passes(desk.enrollment, rider.rider_id)
    assert (row.pass_id, row.medium, row.revoked_at) == (found.pass_id, "pass", None)


def test_the_signed_pass_itself_is_kept_nowhere(desk: Desk) -> None:
    issued = issue_pass(desk.enrollment, put_rider(desk, unit(1)).rider_id, "face+pass", desk.now)
    signature = unpack_pass(issued.qr_text).rpartition(".")[2]
    kept = on_disk(desk)
    assert issued.pass_id.encode() in kept
    assert signature.encode() not in kept
    assert issued.qr_text.encode() not in kept
    assert base64url_decode(signature) not in kept


def test_a_carried_template_leaves_enrollment(desk: Desk) -> None:
    template = unit(7)
    rider = put_rider(desk, template)
    with reading(desk.enrollment.riders) as session:
        [sealed] = session.exec(select(Template.sealed)).all()
    assert sealed in on_disk(desk)
    issued = issue_pass(desk.enrollment, rider.rider_id, "face+pass", desk.now)
    assert templates(desk) == 0
    assert sealed not in on_disk(desk)
    carried = checked(desk, issued).template
    assert carried is not None
    assert (carried.engine_id, carried.images) == ("dlib-resnet-1", 3)
    back = restore(np.frombuffer(carried.codes, np.int8).reshape(1, -1))[0]
    assert float(back @ template) > 0.9999
    with reading(desk.enrollment.riders) as session:
        kept = session.get(Rider, rider.rider_id)
    assert kept is not None
    assert kept.medium == "face+pass"


def test_a_hands_free_rider_may_have_a_plain_pass_beside(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
    assert templates(desk) == 1
    with reading(desk.enrollment.riders) as session:
        kept = session.get(Rider, rider.rider_id)
    assert kept is not None
    assert kept.medium == "face"


def test_a_rider_who_gives_up_the_carried_face_goes_by_pass(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    for medium in ("face+pass", "pass"):
        issue_pass(desk.enrollment, rider.rider_id, medium, desk.now)  # type: ignore[arg-type]
        with reading(desk.enrollment.riders) as session:
            kept = session.get(Rider, rider.rider_id)
        assert kept is not None
        assert kept.medium == medium


def test_a_new_pass_revokes_the_one_before(desk: Desk) -> None:
    rider = put_rider(desk, None)
    first = issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
    assert rules(desk).revoked == ()
    desk.now += timedelta(days=1)
    second = issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
    assert rules(desk).revoked == (first.pass_id,)
    rows = list_passes(desk.enrollment, rider.rider_id)
    assert [(r.pass_id, r.reason) for r in rows] == [
        (second.pass_id, None), (first.pass_id, "replaced"),
    ]  # fmt: skip


def test_the_schema_itself_allows_one_pass_a_rider(desk: Desk) -> None:
    rider = put_rider(desk, None)
    issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
    with pytest.raises(IntegrityError), writing(desk.enrollment.riders) as session:
        session.add(
            Pass(pass_id="x" * 16, rider_id=rider.rider_id, medium="pass", issued_at=desk.now,
                 expires_at=desk.now)
        )  # fmt: skip


def test_a_carried_template_is_renewed_from_the_pass_alone(desk: Desk) -> None:
    rider = put_rider(desk, unit(3))
    first = issue_pass(desk.enrollment, rider.rider_id, "face+pass", desk.now)
    desk.now += timedelta(days=300)
    second = renew_pass(desk.enrollment, first.qr_text, desk.now)
    before, after = checked(desk, first), checked(desk, second)
    assert after.template == before.template
    assert after.expires_at == desk.now + VALID_FOR
    assert rules(desk).revoked == (first.pass_id,)
    with pytest.raises(PassNotIssued, match="was revoked"):
        renew_pass(desk.enrollment, first.qr_text, desk.now)
    with pytest.raises(PassRefused, match="has expired"):
        renew_pass(desk.enrollment, second.qr_text, desk.now + timedelta(days=400))


def test_without_a_template_no_face_can_be_carried(desk: Desk) -> None:
    rider = put_rider(desk, None)
    with pytest.raises(PassNotIssued, match=f"No template is kept of rider {rider.rider_id}"):
        issue_pass(desk.enrollment, rider.rider_id, "face+pass", desk.now)
    assert list_passes(desk.enrollment, rider.rider_id) == []


def test_only_active_riders_get_a_pass(desk: Desk) -> None:
    with pytest.raises(PassNotIssued, match="no rider nobody"):
        issue_pass(desk.enrollment, "nobody", "pass", desk.now)
    rider = put_rider(desk, None)
    freeze_rider(desk.enrollment, rider.rider_id, desk.now)
    with pytest.raises(PassNotIssued, match="is frozen"):
        issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)


def test_a_revoked_pass_is_told_until_it_has_expired(desk: Desk) -> None:
    rider = put_rider(desk, None)
    issued = issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
    freeze_rider(desk.enrollment, rider.rider_id, desk.now)
    assert rules(desk).revoked == (issued.pass_id,)
    [row] = list_passes(desk.enrollment, rider.rider_id)
    assert (row.revoked_at, row.reason) == (desk.now, "frozen")
    with pytest.raises(EnrollmentRefused, match="is frozen already"):
        freeze_rider(desk.enrollment, rider.rider_id, desk.now)
    thaw_rider(desk.enrollment, rider.rider_id)
    with pytest.raises(EnrollmentRefused, match="is not frozen"):
        thaw_rider(desk.enrollment, rider.rider_id)
    assert rules(desk).revoked == (issued.pass_id,), "found again, it is still revoked"
    desk.now += VALID_FOR
    assert rules(desk).revoked == (issued.pass_id,), "a gate's clock may be slow"
    desk.now += EXPIRED_FOR
    assert rules(desk).revoked == ()


def test_erasure_revokes_the_pass_and_forgets_whose_it_was(desk: Desk) -> None:
    rider = put_rider(desk, unit(1))
    issued = issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
    erase_rider(desk.enrollment, rider.rider_id)
    assert rules(desk).revoked == (issued.pass_id,)
    with reading(desk.enrollment.riders) as session:
        [row] = session.exec(select(Pass)).all()
    assert (row.pass_id, row.rider_id, row.reason) == (issued.pass_id, None, "erased")
    with pytest.raises(PassNotIssued, match="was revoked"):
        renew_pass(desk.enrollment, issued.qr_text, desk.now)
    with pytest.raises(KeyErased):
        desk.enrollment.vault.key(f"rider:{rider.rider_id}")


def test_passes_of_erased_riders_are_deleted_once_they_have_expired(desk: Desk) -> None:
    for days in (0, 368):
        desk.now += timedelta(days=days)
        rider = put_rider(desk, None)
        issue_pass(desk.enrollment, rider.rider_id, "pass", desk.now)
        erase_rider(desk.enrollment, rider.rider_id)
    with reading(desk.enrollment.riders) as session:
        assert len(session.exec(select(Pass)).all()) == 1


def test_after_a_change_of_keys_old_passes_stay_good_until_they_expire(desk: Desk) -> None:
    old = issue_pass(desk.enrollment, put_rider(desk, None).rider_id, "pass", desk.now)
    desk.now += timedelta(days=10)
    kid = rotate_pass_key(desk.enrollment.riders, desk.enrollment.vault, desk.now)
    new = issue_pass(desk.enrollment, put_rider(desk, None).rider_id, "pass", desk.now)
    assert next(iter(rules(desk).public_keys())) == kid
    assert checked(desk, old).pass_id == old.pass_id
    assert checked(desk, new).pass_id == new.pass_id
    jwks = desk.app.test_client().get("/.well-known/jwks.json").json
    assert jwks is not None
    raw = [base64url_decode(jwk["x"]) for jwk in jwks["keys"]]
    assert len({Ed25519PublicKey.from_public_bytes(key).public_bytes_raw() for key in raw}) == 3
    assert kid in [jwk["kid"] for jwk in jwks["keys"]]
    desk.now += VALID_FOR
    assert list(rules(desk).public_keys()) == [kid]


def test_a_lost_key_signs_nothing_that_is_trusted(desk: Desk) -> None:
    old = issue_pass(desk.enrollment, put_rider(desk, None).rider_id, "pass", desk.now)
    desk.now += timedelta(seconds=1)
    rotate_pass_key(desk.enrollment.riders, desk.enrollment.vault, desk.now, lost=True)
    with pytest.raises(PassForged, match="was not issued here"):
        checked(desk, old)


@pytest.mark.parametrize("medium", ["pass", "face+pass"])
def test_the_picture_for_a_telephone_is_read_back(desk: Desk, medium: str) -> None:
    rider = put_rider(desk, unit(5))
    issued = issue_pass(desk.enrollment, rider.rider_id, medium, desk.now)  # type: ignore[arg-type]
    assert code_of(issued).designator == {"pass": "9-L", "face+pass": "13-L"}[medium]
    [read] = zxingcpp.read_barcodes(np.array(Image.open(io.BytesIO(as_png(issued))).convert("L")))
    assert read.text == issued.qr_text


def test_the_svg_is_a_picture_without_script_or_size(desk: Desk) -> None:
    issued = issue_pass(desk.enrollment, put_rider(desk, None).rider_id, "pass", desk.now)
    svg = as_svg(issued).decode()
    assert re.match(r'<svg [^>]*viewBox="0 0 61 61"', svg)
    assert "<script" not in svg
    assert "width=" not in svg.partition(">")[0]


def test_the_printed_page_holds_the_code_as_squares(desk: Desk) -> None:
    """Drawn again from the page's own instructions, the code is read back."""
    issued = issue_pass(desk.enrollment, put_rider(desk, unit(5)).rider_id, "face+pass", desk.now)
    page = as_pdf(issued, "测试地铁 Test Metro", "k7m2pq9xtd")
    assert page.startswith(b"%PDF-")
    [read] = zxingcpp.read_barcodes(_drawn(page))
    assert read.text == issued.qr_text
    assert len(page) < 60_000


def _drawn(pdf: bytes) -> np.ndarray[tuple[int, ...], np.dtype[np.uint8]]:
    """The filled rectangles of a one-page PDF, at two pixels a point."""
    picture = np.full((1700, 1200), 255, np.uint8)
    for stream in re.findall(rb"stream\r?\n(.*?)endstream", pdf, re.DOTALL):
        code = zlib.decompress(base64.a85decode(b"<~" + stream.strip(), adobe=True))
        for found in re.findall(rb"([\d.]+) ([\d.]+) ([\d.]+) ([\d.]+) re", code):
            left, bottom, width, height = (float(number) * 2 for number in found)
            upper_left = round(left), round(1700 - bottom - height)
            lower_right = round(left + width) - 1, round(1700 - bottom) - 1
            cv2.rectangle(picture, upper_left, lower_right, (0.0,), -1)
    return picture


def test_the_key_is_changed_by_a_command(desk: Desk) -> None:
    old = issue_pass(desk.enrollment, put_rider(desk, None).rider_id, "pass", desk.now)
    place = ["rotate-key", "--data", str(desk.data.path)]
    told = CliRunner().invoke(passes, [*place, "--json"], catch_exceptions=False)
    desk.now += timedelta(minutes=1)
    kid = json.loads(told.output)["kid"]
    assert next(iter(rules(desk).public_keys())) == kid
    assert checked(desk, old).pass_id == old.pass_id
    told = CliRunner().invoke(passes, [*place, "--lost"], catch_exceptions=False)
    assert "every pass issued so far has to be replaced" in told.output
    with pytest.raises(PassForged):
        checked(desk, old)
