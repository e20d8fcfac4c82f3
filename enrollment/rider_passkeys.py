"""Passkeys (WebAuthn) of riders: a key on the phone that opens the own pages by finger or face.

The phone keeps the private half and asks its owner itself; here lies only the public half.
A challenge is a row that is deleted when it comes back, so an answer is good once.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from flask_babel import gettext as _
from sqlmodel import col, delete, select
from webauthn import (
    generate_authentication_options,
    generate_registration_options,
    options_to_json,
    verify_authentication_response,
    verify_registration_response,
)
from webauthn.helpers import base64url_to_bytes, parse_client_data_json
from webauthn.helpers.exceptions import WebAuthnException
from webauthn.helpers.structs import (
    AuthenticatorSelectionCriteria,
    PublicKeyCredentialDescriptor,
    ResidentKeyRequirement,
    UserVerificationRequirement,
)

from enrollment.store import Enrollment
from models.database import reading, writing
from models.errors import FacefareError
from models.tables.riders import Passkey, PasskeyChallenge, Rider

ANSWER_WITHIN = timedelta(minutes=5)
PASSKEYS_MAX = 5
_CHALLENGE_BYTES = 32


class PasskeyRefused(FacefareError):
    """A passkey that was not made or does not open anything."""


@dataclass(frozen=True, slots=True)
class Site:
    """The server as browsers know it: its host name, and its whole origin."""

    host: str
    origin: str


def passkeys_of(enrollment: Enrollment, rider_id: str) -> list[Passkey]:
    """The rider's passkeys, the newest first."""
    query = select(Passkey).where(Passkey.rider_id == rider_id)
    with reading(enrollment.riders) as session:
        return list(session.exec(query.order_by(col(Passkey.made_at).desc())))


def ask_for_new(enrollment: Enrollment, rider: Rider, site: Site, now: datetime) -> str:
    """Options, as JSON, for a browser to make a passkey of this rider."""
    known = passkeys_of(enrollment, rider.rider_id)
    if len(known) >= PASSKEYS_MAX:
        raise PasskeyRefused(_("You have %(max)s passkeys; remove one first.", max=PASSKEYS_MAX))
    options = generate_registration_options(
        rp_id=site.host,
        rp_name=enrollment.settings.operator,
        user_id=rider.rider_id.encode(),
        user_name=rider.rider_id,
        user_display_name=rider.rider_id,  # the phone shows it to whoever holds the phone
        challenge=_challenge(enrollment, rider.rider_id, now),
        authenticator_selection=AuthenticatorSelectionCriteria(
            resident_key=ResidentKeyRequirement.REQUIRED,
            user_verification=UserVerificationRequirement.REQUIRED,
        ),
        exclude_credentials=[PublicKeyCredentialDescriptor(key.credential_id) for key in known],
    )
    return options_to_json(options)


def keep_new(
    enrollment: Enrollment, rider: Rider, answer: dict[str, Any], site: Site, now: datetime
) -> None:
    """Check what the browser made and keep its public half; raise ``PasskeyRefused``."""
    challenge = _take_challenge(enrollment, answer, rider.rider_id, now)
    try:
        made = verify_registration_response(
            credential=answer,
            expected_challenge=challenge,
            expected_rp_id=site.host,
            expected_origin=site.origin,
            require_user_verification=True,
        )
    except WebAuthnException as error:
        raise PasskeyRefused(_("The passkey could not be made; try again.")) from error
    with writing(enrollment.riders) as session:
        if session.get(Passkey, made.credential_id) is not None:
            raise PasskeyRefused(_("This passkey is known already."))
        session.add(
            Passkey(
                credential_id=made.credential_id,
                rider_id=rider.rider_id,
                public_key=made.credential_public_key,
                sign_count=made.sign_count,
                made_at=now,
            )
        )


def remove_passkey(enrollment: Enrollment, rider_id: str, credential_id: bytes) -> None:
    """Forget one of the rider's passkeys; another's stays where it is."""
    with writing(enrollment.riders) as session:
        session.exec(
            delete(Passkey).where(
                col(Passkey.rider_id) == rider_id, col(Passkey.credential_id) == credential_id
            )
        )


def ask_to_sign_in(enrollment: Enrollment, site: Site, now: datetime) -> str:
    """Options, as JSON, for a browser to sign in; the passkey itself says who."""
    options = generate_authentication_options(
        rp_id=site.host,
        challenge=_challenge(enrollment, None, now),
        user_verification=UserVerificationRequirement.REQUIRED,
    )
    return options_to_json(options)


def sign_in_by_passkey(
    enrollment: Enrollment, answer: dict[str, Any], site: Site, now: datetime
) -> str:
    """Check the browser's answer and return the rider's reference; raise ``PasskeyRefused``.

    Nothing is counted: a signature cannot be guessed, so nobody has to wait.
    """
    challenge = _take_challenge(enrollment, answer, None, now)
    with writing(enrollment.riders) as session:
        known = session.get(Passkey, _credential_id(answer))
        if known is None:
            raise PasskeyRefused(_("This passkey opens nothing here."))
        try:
            verified = verify_authentication_response(
                credential=answer,
                expected_challenge=challenge,
                expected_rp_id=site.host,
                expected_origin=site.origin,
                credential_public_key=known.public_key,
                credential_current_sign_count=known.sign_count,
                require_user_verification=True,
            )
        except WebAuthnException as error:
            raise PasskeyRefused(_("This passkey opens nothing here.")) from error
        known.sign_count, known.used_at = verified.new_sign_count, now
        session.add(known)
        return known.rider_id


def _challenge(enrollment: Enrollment, rider_id: str | None, now: datetime) -> bytes:
    challenge = secrets.token_bytes(_CHALLENGE_BYTES)
    row = PasskeyChallenge(challenge=challenge, rider_id=rider_id, until=now + ANSWER_WITHIN)
    with writing(enrollment.riders) as session:
        session.exec(delete(PasskeyChallenge).where(col(PasskeyChallenge.until) < now))
        session.add(row)
    return challenge


def _take_challenge(
    enrollment: Enrollment, answer: dict[str, Any], rider_id: str | None, now: datetime
) -> bytes:
    """The challenge that was answered, which is used up by this."""
    try:
        data = parse_client_data_json(base64url_to_bytes(answer["response"]["clientDataJSON"]))
    except (WebAuthnException, KeyError, TypeError, ValueError) as error:
        raise PasskeyRefused(_("The browser's answer cannot be read; try again.")) from error
    with writing(enrollment.riders) as session:
        row = session.get(PasskeyChallenge, data.challenge)
        good = row is not None and row.rider_id == rider_id and now < row.until
        if row is not None:
            session.delete(row)
    if not good:
        raise PasskeyRefused(_("That took too long; try again."))
    return data.challenge


def _credential_id(answer: dict[str, Any]) -> bytes:
    try:
        return base64url_to_bytes(answer["rawId"])
    except (KeyError, TypeError, ValueError) as error:
        raise PasskeyRefused(_("The browser's answer cannot be read; try again.")) from error


def read_answer(body: bytes) -> dict[str, Any]:
    """What a browser sent; raise ``PasskeyRefused`` for what is no answer of a passkey."""
    try:
        answer = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise PasskeyRefused(_("The browser's answer cannot be read; try again.")) from error
    if not isinstance(answer, dict):
        raise PasskeyRefused(_("The browser's answer cannot be read; try again."))
    return answer
