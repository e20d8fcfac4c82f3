"""The pass as a token: whatever was not signed here, now, for these gates, opens nothing."""

from __future__ import annotations

import base64
import json
import os
import zlib
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import jwt
import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from models.access.gates import RegisteredGate
from models.wire import pass_text, passes
from models.wire.keys import base64url, key_id, raw_public
from models.wire.pass_text import pack_pass, unpack_pass
from models.wire.passes import (
    CarriedTemplate,
    NotAPass,
    Pass,
    PassExpired,
    PassForged,
    PassNotYetValid,
    PassRefused,
    check_pass,
    gates_of,
    sign_pass,
)
from models.wire.tap import TAP_TYPE, pass_hash
from models.wire.tokens import (
    GATE_TOKEN_TYPE,
    Request,
    TokenRefused,
    check_gate_token,
    issue_gate_token,
)

KEY = Ed25519PrivateKey.from_private_bytes(bytes(range(32)))
KID = key_id(KEY.public_key())
KEYS = {KID: KEY.public_key()}
ISSUER = "fares.example/metro"
NOW = datetime(2026, 11, 22, 18, 49, 7, tzinfo=UTC)
CODES = bytes(range(128))
PLAIN = Pass("r4nD0m-12bytes_A", "5f0c" * 8, "pass", NOW, NOW + timedelta(days=365), None)
WITH_FACE = Pass(
    "r4nD0m-12bytes_B", "5f0c" * 8, "face+pass", NOW, NOW + timedelta(days=365),
    CarriedTemplate("dlib-resnet-1", 3, CODES),
)  # fmt: skip


def claims_of(token: str) -> dict[str, Any]:
    found: dict[str, Any] = jwt.decode(token, options={"verify_signature": False})
    return found


def forged(
    key: Any = KEY,
    kid: str = KID,
    typ: Any = passes.PASS_TYPE,
    without: str = "",
    more: dict[str, Any] | None = None,
    **changes: Any,
) -> str:
    """A pass with other claims or another header, signed all the same."""
    claims = {**claims_of(sign_pass(PLAIN, ISSUER, KEY)), **changes}
    claims.pop(without, None)
    return jwt.encode(
        claims, key, algorithm="EdDSA", headers={"typ": typ, "kid": kid, **(more or {})}
    )


@pytest.mark.parametrize("issued", [PLAIN, WITH_FACE])
def test_a_pass_comes_back_as_it_was_signed(issued: Pass) -> None:
    token = sign_pass(issued, ISSUER, KEY)
    assert check_pass(token, KEYS, ISSUER, NOW) == issued
    assert unpack_pass(pack_pass(token)) == token


def test_a_packed_pass_is_of_the_characters_that_make_small_codes() -> None:
    for issued, characters_max in ((PLAIN, 340), (WITH_FACE, 560)):
        text = pack_pass(sign_pass(issued, ISSUER, KEY))
        assert set(text) <= set("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ $%*+-./:")
        assert len(text) < characters_max


@given(st.binary(min_size=1, max_size=512), st.binary(min_size=12, max_size=12))
def test_every_template_and_number_survives_packing(codes: bytes, number: bytes) -> None:
    issued = Pass(
        base64url(number), os.urandom(16).hex(), "face+pass", NOW, NOW + timedelta(days=1),
        CarriedTemplate("onnx:sface", 2, codes),
    )  # fmt: skip
    token = unpack_pass(pack_pass(sign_pass(issued, ISSUER, KEY)))
    assert check_pass(token, KEYS, ISSUER, NOW) == issued


def test_every_changed_character_is_refused() -> None:
    token = sign_pass(WITH_FACE, ISSUER, KEY)
    for place in range(len(token)):
        other = "A" if token[place] != "A" else "Q"
        changed = token[:place] + other + token[place + 1 :]
        with pytest.raises(PassRefused):
            check_pass(changed, KEYS, ISSUER, NOW)


def test_every_changed_character_of_the_code_is_refused() -> None:
    text = pack_pass(sign_pass(PLAIN, ISSUER, KEY))
    for place in range(len(text)):
        other = "A" if text[place] != "A" else "B"
        with pytest.raises(PassRefused):
            check_pass(unpack_pass(text[:place] + other + text[place + 1 :]), KEYS, ISSUER, NOW)


def test_every_truncation_of_the_code_is_refused() -> None:
    text = pack_pass(sign_pass(PLAIN, ISSUER, KEY))
    for length in range(len(text)):
        with pytest.raises(PassRefused):
            check_pass(unpack_pass(text[:length]), KEYS, ISSUER, NOW)


@pytest.mark.parametrize(
    "text",
    ["", "FF1:", "FF1:A", "FF1:::::::", "https://example.org/", "FF1:" + "0" * 2000, "FF2:ABCDEF",
     "FF1:abc", "FF1:é"],
)  # fmt: skip
def test_other_codes_are_not_passes(text: str) -> None:
    with pytest.raises(NotAPass):
        unpack_pass(text)


def test_a_code_that_unpacks_to_megabytes_is_refused_before_it_does() -> None:
    bomb = zlib.compressobj(9, zlib.DEFLATED, -zlib.MAX_WBITS)
    stream = bomb.compress(b"\n" * 400_000) + bomb.flush()
    with pytest.raises(NotAPass):
        unpack_pass("FF1:" + pass_text._base45(stream + bytes(64)))


def test_a_pass_is_good_from_its_first_to_its_last_minute() -> None:
    token = sign_pass(PLAIN, ISSUER, KEY)
    last = PLAIN.expires_at
    assert check_pass(token, KEYS, ISSUER, NOW - timedelta(seconds=60)) == PLAIN
    assert check_pass(token, KEYS, ISSUER, last + timedelta(seconds=59)) == PLAIN
    with pytest.raises(PassNotYetValid, match="not valid yet"):
        check_pass(token, KEYS, ISSUER, NOW - timedelta(seconds=61))
    with pytest.raises(PassExpired, match=r"has expired\. Renew it"):
        check_pass(token, KEYS, ISSUER, last + timedelta(seconds=60))


def test_a_pass_that_is_valid_for_longer_than_allowed_is_refused() -> None:
    token = sign_pass(PLAIN, ISSUER, KEY)
    assert check_pass(token, KEYS, ISSUER, NOW, timedelta(days=365)) == PLAIN
    with pytest.raises(PassForged, match="valid for too long"):
        check_pass(token, KEYS, ISSUER, NOW, timedelta(days=364))


def test_a_pass_of_another_key_is_refused() -> None:
    other = Ed25519PrivateKey.generate()
    with pytest.raises(PassForged, match="was not issued here"):
        check_pass(sign_pass(PLAIN, ISSUER, other), KEYS, ISSUER, NOW)
    with pytest.raises(PassForged, match="not genuine"):
        check_pass(forged(key=other), KEYS, ISSUER, NOW)


def test_passes_of_the_old_and_the_new_key_are_good_while_both_are_trusted() -> None:
    new = Ed25519PrivateKey.generate()
    both = {**KEYS, key_id(new.public_key()): new.public_key()}
    for key in (KEY, new):
        assert check_pass(sign_pass(PLAIN, ISSUER, key), both, ISSUER, NOW) == PLAIN
    with pytest.raises(PassForged):
        check_pass(sign_pass(PLAIN, ISSUER, new), KEYS, ISSUER, NOW)


def test_a_pass_of_another_operator_is_refused_also_under_the_same_key() -> None:
    with pytest.raises(PassForged, match="another operator"):
        check_pass(sign_pass(PLAIN, "fares.example/bus", KEY), KEYS, ISSUER, NOW)
    with pytest.raises(PassForged, match="another operator"):
        check_pass(forged(iss="fares.example/bus"), KEYS, ISSUER, NOW)


@pytest.mark.parametrize(
    "changes",
    [
        {"aud": [gates_of(ISSUER)]},
        {"aud": [gates_of(ISSUER), "ledger"]},
        {"aud": "ledger"},
        {"aud": ISSUER},
        {"without": "aud"},
        {"without": "iss"},
        {"without": "exp"},
        {"without": "iat"},
        {"without": "nbf"},
        {"without": "jti"},
        {"without": "sub"},
        {"without": "med"},
        {"exp": None},
        {"exp": "1795336147"},
        {"exp": 1795336147.5},
        {"exp": True},
        {"exp": 2**60},
        {"iat": -1},
        {"sub": "Lin Rider"},
        {"jti": ""},
        {"jti": 5},
        {"med": "face"},
        {"med": "face+pass"},
        {"eng": "dlib-resnet-1", "img": 3, "tpl": base64url(CODES)},
        {"tpl": base64url(CODES)},
        {"med": "face+pass", "eng": "dlib-resnet-1", "img": 0, "tpl": base64url(CODES)},
        {"med": "face+pass", "eng": "dlib-resnet-1", "img": 3, "tpl": "not base64url!"},
        {"fare": 0},
        {"nbf": int(NOW.timestamp()) - 1},
        {"nbf": int((NOW + timedelta(days=365)).timestamp())},
    ],
)  # fmt: skip
def test_claims_that_are_not_a_passes_are_refused_however_well_they_are_signed(
    changes: dict[str, Any],
) -> None:
    with pytest.raises(PassForged):
        check_pass(forged(**changes), KEYS, ISSUER, NOW)


def test_only_one_algorithm_is_taken() -> None:
    public = raw_public(KEY.public_key())
    for token in (
        jwt.encode(claims_of(forged()), public, algorithm="HS256",
                   headers={"typ": passes.PASS_TYPE, "kid": KID}),
        jwt.encode(claims_of(forged()), None, algorithm="none",
                   headers={"typ": passes.PASS_TYPE, "kid": KID}),
    ):  # fmt: skip
        with pytest.raises(NotAPass):
            check_pass(token, KEYS, ISSUER, NOW)


@pytest.mark.parametrize("typ", [GATE_TOKEN_TYPE, TAP_TYPE, "facefare-staff+jwt", "JWT", None])
def test_another_kind_of_token_of_the_same_key_is_no_pass(typ: str | None) -> None:
    with pytest.raises(NotAPass):
        check_pass(forged(typ=typ), KEYS, ISSUER, NOW)


@pytest.mark.parametrize("more", [{"jwk": {"kty": "OKP"}}, {"jku": "https://x"}, {"crit": ["b"]}])
def test_a_header_with_more_in_it_is_refused(more: dict[str, Any]) -> None:
    with pytest.raises(PassRefused):
        check_pass(forged(more=more), KEYS, ISSUER, NOW)


def test_a_gates_token_is_no_pass_and_a_pass_no_gates_token() -> None:
    request = Request("GET", "/api/v1/gallery", b"")
    box = X25519PrivateKey.generate().public_key()
    gate = RegisteredGate("south-1", "south", "in", KEY.public_key(), box, revoked=False)
    with pytest.raises(NotAPass):
        check_pass(issue_gate_token(KEY, "south-1", "enrollment", request, NOW), KEYS, ISSUER, NOW)
    with pytest.raises(TokenRefused, match="a gate token is needed here"):
        check_gate_token(
            sign_pass(PLAIN, ISSUER, KEY), lambda kid: gate,
            "enrollment", request, NOW, lambda jti, exp: True,
        )  # fmt: skip


@pytest.mark.parametrize(
    "token", ["", "a.b.c", "....", "e30.e30.e30", "\ud800", "é.é.é", "x" * 9000]
)
def test_text_that_is_no_token_is_refused(token: str) -> None:
    with pytest.raises(NotAPass):
        check_pass(token, KEYS, ISSUER, NOW)


def test_the_token_is_as_the_documentation_shows_it() -> None:
    header, claims, _ = sign_pass(WITH_FACE, ISSUER, KEY).split(".")
    read = [json.loads(base64.urlsafe_b64decode(part + "==")) for part in (header, claims)]
    assert read[0] == {"alg": "EdDSA", "kid": KID, "typ": "facefare-pass+jwt"}
    assert read[1] == {
        "aud": "fares.example/metro/gates",
        "exp": int(NOW.timestamp()) + 365 * 86400,
        "iat": int(NOW.timestamp()),
        "iss": "fares.example/metro",
        "jti": "r4nD0m-12bytes_B",
        "med": "face+pass",
        "nbf": int(NOW.timestamp()),
        "sub": "5f0c" * 8,
        "eng": "dlib-resnet-1",
        "img": 3,
        "tpl": base64url(CODES),
    }


PRINTED = (
    "FF1:SYOBO032AVRKZ0CCPEUWKVS43CL$BWCI1F9M GOWH2HS6E14HPMV39M$J0HAV9SD2C*RITNK:H1626NP9699KZ"
    "51F9E9Q-V5XPPBZU%*G3JJOHG:JM D7:1512JN6PY1PR90.7JX9JICVNGI.1KTD8K3MSCA5Z4/FQ749K2O%E6LSSNVQ"
    "LRGHWF-GLA30TBV*EO8.F8NKO QI0H-UQP%55-O/HK4+N+*4G2E:%729DX6S+-2TSH3E15 3Y52O7C/N0% RGOJC52VP"
    "IH.6GM0+STK9G50"
)


def test_a_pass_that_was_printed_once_is_read_by_every_later_version() -> None:
    assert check_pass(unpack_pass(PRINTED), KEYS, ISSUER, NOW) == PLAIN


def test_a_tap_names_a_pass_by_a_hash_only() -> None:
    assert pass_hash("r4nD0m-12bytes_A") == (
        "2dea7370c194a5f83480fad1fc472ade0df51851516b83738ef6afd43d9275ab"
    )


def test_what_is_wrong_with_a_pass_is_said_without_the_face_it_carries() -> None:
    template = CarriedTemplate("dlib-resnet-1", 0, CODES)
    with pytest.raises(ValidationError) as refused:
        sign_pass(replace(WITH_FACE, account="somebody", template=template), ISSUER, KEY)
    assert base64url(CODES)[:20] not in str(refused.value)
    assert "somebody" not in str(refused.value)
