"""What travels: canonical bytes, times, keys and taps; every other spelling is refused."""

from __future__ import annotations

import base64
import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from hypothesis import given
from hypothesis import strategies as st

from models.wire.canonical import CanonicalError, canonical_bytes, parse_canonical
from models.wire.keys import KeyFileError, key_id, load_box_key, load_signing_key, save_private_key
from models.wire.tap import FIRST_PREV, TAP_TYPE, Evidence, Tap, TapRefused, check_tap, sign_tap
from models.wire.times import TimeFormatError, format_utc, parse_utc

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
TAP = Tap(
    tap_id="019adf3e-7a10-7c3e-8000-2b5d3f6a9c11",
    gate="south-1",
    station="south",
    direction="in",
    at="2026-11-22T18:49:07.250Z",
    account="5f0c" * 8,
    medium="face",
    evidence=Evidence(
        engine="dlib-resnet-1", score=0.62, margin=0.31, frames=4, liveness=None, gallery_version=3
    ),
    seq=1,
    prev=FIRST_PREV,
)


def test_canonical_json_has_the_bytes_of_rfc_8785() -> None:
    """The example of RFC 8785 section 3.2.4, as its appendix prints the bytes."""
    value = {
        "numbers": [333333333.33333329, 1e30, 4.50, 2e-3, 0.000000000000000000000000001],
        "string": "\u20ac$\u000f\u000aA'\u0042\u0022\u005c\\\"\u002f",
        "literals": [None, True, False],
    }
    assert canonical_bytes(value) == (
        b'{"literals":[null,true,false],"numbers":[333333333.3333333,1e+30,4.5,0.002,1e-27],'
        b'"string":"\xe2\x82\xac$\\u000f\\nA\'B\\"\\\\\\\\\\"/"}'
    )


@pytest.mark.parametrize(
    "spelling",
    [
        b'{"b":1,"a":2}',
        b'{"a": 1}',
        b'{"a":1.0}',
        b'{"a":1,"a":1}',
        b'{"a":"\\u0041"}',
        b'{"a":1}\n',
        b"not json",
        b"",
        b"\xff",
        b"[" * 100_000,
    ],
)
def test_every_other_spelling_is_refused(spelling: bytes) -> None:
    with pytest.raises(CanonicalError):
        parse_canonical(spelling)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), 2**53 + 1, {1: "x"}])
def test_values_without_a_canonical_form_are_refused(value: Any) -> None:
    with pytest.raises(CanonicalError):
        canonical_bytes(value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**53) + 1, 2**53 - 1) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=12,
)


@given(JSON)
def test_canonical_bytes_are_read_back_as_the_same_value(value: Any) -> None:
    assert parse_canonical(canonical_bytes(value)) == value


@given(st.datetimes(timezones=st.just(UTC)))
def test_times_survive_the_wire_to_the_millisecond(moment: datetime) -> None:
    read = parse_utc(format_utc(moment))
    assert timedelta(0) <= moment - read < timedelta(milliseconds=1)


def test_times_of_other_zones_are_written_in_utc() -> None:
    beijing = timezone(timedelta(hours=8))
    moment = datetime(2026, 11, 23, 2, 49, 7, 250_000, tzinfo=beijing)
    assert format_utc(moment) == "2026-11-22T18:49:07.250Z"


@pytest.mark.parametrize(
    "text",
    ["2026-11-22T18:49:07Z", "2026-11-22T18:49:07.250", "2026-11-22 18:49:07.250Z",
     "2026-11-22T18:49:07.250+00:00", "2026-13-01T00:00:00.000Z", "2026-11-22T18:49:07.250000Z",
     "", "now"],
)  # fmt: skip
def test_other_spellings_of_a_time_are_refused(text: str) -> None:
    with pytest.raises(TimeFormatError):
        parse_utc(text)


def test_a_key_is_named_by_its_rfc_8037_thumbprint() -> None:
    """The key and the thumbprint of RFC 8037, appendices A.2 and A.3."""
    raw = base64.urlsafe_b64decode("11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo=")
    key = Ed25519PublicKey.from_public_bytes(raw)
    assert key_id(key) == "kPrK_qmxVWaYVA9wwBF6Iuo3vVzz7TxHCTwXBygrS4k"


def test_a_key_file_is_private_and_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    save_private_key(path, KEY)
    assert path.stat().st_mode & 0o777 == 0o600
    with pytest.raises(FileExistsError):
        save_private_key(path, Ed25519PrivateKey.generate())
    assert load_signing_key(path).private_bytes_raw() == bytes(range(32))


def test_a_key_file_that_cannot_be_used_says_why(tmp_path: Path) -> None:
    path = tmp_path / "signing.pem"
    with pytest.raises(KeyFileError, match="is missing; restore it from a backup"):
        load_signing_key(path)
    path.write_text("-----BEGIN NOTHING-----")
    with pytest.raises(KeyFileError, match="cannot be read"):
        load_signing_key(path)
    path.unlink()
    save_private_key(path, KEY)
    with pytest.raises(KeyFileError, match="does not hold an X25519 key"):
        load_box_key(path)


def test_a_tap_comes_back_as_it_was_signed() -> None:
    assert check_tap(sign_tap(TAP, KEY), KEY.public_key()) == TAP


def test_the_signed_bytes_are_those_of_the_documentation() -> None:
    payload = sign_tap(TAP, KEY).split(".")[1]
    decoded = base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4))
    assert decoded == canonical_bytes(TAP.model_dump())
    assert decoded.startswith(b'{"account":"5f0c5f0c')


def test_any_changed_character_of_a_tap_is_refused() -> None:
    signed = sign_tap(TAP, KEY)
    for place in range(len(signed)):
        for other in ("A", "B"):
            changed = signed[:place] + other + signed[place + 1 :]
            if changed == signed:
                continue
            if _same_bytes(changed, signed):
                continue  # the last character of base64 carries unused bits
            with pytest.raises(TapRefused):
                check_tap(changed, KEY.public_key())


def _same_bytes(one: str, other: str) -> bool:
    def parts(text: str) -> list[bytes]:
        return [base64.urlsafe_b64decode(p + "=" * (-len(p) % 4)) for p in text.split(".")]

    try:
        return parts(one) == parts(other)
    except ValueError:
        return False


def test_another_gates_key_is_refused() -> None:
    with pytest.raises(TapRefused, match="does not verify"):
        check_tap(sign_tap(TAP, KEY), Ed25519PrivateKey.generate().public_key())


def signed_as(payload: bytes, typ: str = TAP_TYPE) -> str:
    return jwt.PyJWS().encode(payload, KEY, algorithm="EdDSA", headers={"typ": typ})


def test_another_kind_of_document_of_the_same_gate_is_no_tap() -> None:
    with pytest.raises(TapRefused, match="this is not a tap"):
        check_tap(
            signed_as(canonical_bytes(TAP.model_dump()), "facefare-gate+jwt"), KEY.public_key()
        )


def test_a_tap_that_is_not_canonical_is_refused() -> None:
    loose = json.dumps(TAP.model_dump()).encode()
    with pytest.raises(TapRefused, match="canonical"):
        check_tap(signed_as(loose), KEY.public_key())


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("v", 2),
        ("tap_id", "019ADF3E-7A10-7C3E-8000-2B5D3F6A9C11"),
        ("tap_id", "5f0c5f0c-5f0c-4f0c-8f0c-5f0c5f0c5f0c"),
        ("tap_id", "x"),
        ("gate", "South 1"),
        ("direction", "up"),
        ("at", "yesterday"),
        ("account", "name@example"),
        ("medium", "card"),
        ("seq", 0),
        ("seq", "1"),
        ("prev", "abc"),
        ("fare", 200),
    ],
)
def test_a_field_that_is_wrong_is_named(field: str, value: object) -> None:
    body = {**TAP.model_dump(), field: value}
    with pytest.raises(TapRefused, match=f"field {field} is wrong"):
        check_tap(signed_as(canonical_bytes(body)), KEY.public_key())


NUMBERS = st.floats(allow_nan=False, allow_infinity=False) | st.sampled_from(
    [0.0, -0.0, 1.0, 1e-5, 1e-7, 1e16, 1e21, 123456789.125, 5e-324]
)


@given(NUMBERS, NUMBERS, st.none() | NUMBERS, st.text(min_size=1, max_size=64))
def test_a_tap_is_spelled_as_rfc_8785_spells_it(
    score: float, margin: float, liveness: float | None, engine: str
) -> None:
    """Whatever the gate's numbers and its engine's name: read back, and signed as it was."""
    seen = {"score": score, "margin": margin, "liveness": liveness, "engine": engine}
    body = {**TAP.model_dump(), "evidence": {**TAP.evidence.model_dump(), **seen}}
    try:
        payload = canonical_bytes(body)
    except (CanonicalError, UnicodeEncodeError):
        return  # a lone surrogate has no bytes
    tap = check_tap(signed_as(payload), KEY.public_key())
    assert canonical_bytes(tap.model_dump()) == payload


@given(st.recursive(JSON | NUMBERS, lambda inner: st.lists(inner, max_size=3), max_leaves=8))
def test_the_quick_reader_takes_only_what_is_canonical(value: Any) -> None:
    """Python's own spelling of a value is taken exactly where it is RFC 8785's as well."""
    spelled = json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    try:
        data, expected = spelled.encode(), canonical_bytes(value)
    except UnicodeEncodeError:
        return
    if data == expected:
        assert parse_canonical(data) == value
    else:
        with pytest.raises(CanonicalError):
            parse_canonical(data)


def header_of(**changes: Any) -> str:
    header = {"alg": "EdDSA", "typ": TAP_TYPE, **changes}
    text = json.dumps({name: value for name, value in header.items() if value is not None})
    return base64.urlsafe_b64encode(text.encode()).rstrip(b"=").decode()


def signed_under(header: str) -> str:
    message = f"{header}.{sign_tap(TAP, KEY).split('.')[1]}"
    signature = base64.urlsafe_b64encode(KEY.sign(message.encode())).rstrip(b"=").decode()
    return f"{message}.{signature}"


def test_a_header_written_by_hand_is_good_enough() -> None:
    assert check_tap(signed_under(header_of()), KEY.public_key()) == TAP


@pytest.mark.parametrize(
    "header",
    [
        header_of(alg="none"),
        header_of(alg="HS256"),
        header_of(alg=None),
        header_of(alg=["EdDSA"]),
        header_of(crit=["b64"], b64=False),
        header_of(jwk={"kty": "OKP"}),
        header_of(jku="https://keys.example/"),
        base64.urlsafe_b64encode(b"[1]").decode(),
        base64.urlsafe_b64encode(b"{}x").decode(),
        "",
    ],
)
def test_a_header_that_is_not_a_taps_is_refused_however_well_it_is_signed(header: str) -> None:
    with pytest.raises(TapRefused, match="does not verify"):
        check_tap(signed_under(header), KEY.public_key())


def test_a_signed_tap_has_one_spelling() -> None:
    header, payload, signature = sign_tap(TAP, KEY).split(".")
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    last = alphabet.index(signature[-1])
    for other in (
        f"{header}.{payload}.{signature}==",
        f"{header}.{payload}.{signature[:-1]}{alphabet[last ^ 1]}",
        f"{header}.{payload}.{signature}.",
        f"{header}.{payload}",
        f"{header}.{payload}.{signature[:40]}\n{signature[40:]}",
        f"{header}.{payload}.{signature[:40]}+{signature[40:]}",
        f"{header}.{payload}.",
        f" {header}.{payload}.{signature}",
        f"{header}.{payload}.{signature}é",
    ):
        with pytest.raises(TapRefused):
            check_tap(other, KEY.public_key())
