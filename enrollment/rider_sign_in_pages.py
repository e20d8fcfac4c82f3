"""Signing in and out of the rider's pages, and the passkeys; handlers translate only."""

from __future__ import annotations

from flask import (
    Blueprint,
    Response,
    abort,
    flash,
    jsonify,
    redirect,
    render_template,
    request,
    url_for,
)
from flask_babel import gettext as _
from werkzeug.wrappers import Response as AnyResponse

from enrollment.form import EnrollmentRefused, read_pin
from enrollment.rider_passkeys import (
    PasskeyRefused,
    Site,
    ask_for_new,
    ask_to_sign_in,
    keep_new,
    passkeys_of,
    read_answer,
    remove_passkey,
    sign_in_by_passkey,
)
from enrollment.rider_scan import (
    FRAME_PIXELS_MAX,
    PHOTO_PIXELS_MAX,
    NoPassSeen,
    ScansBusy,
    pass_in_photo,
)
from enrollment.rider_sign_in import RiderSignInRefused, confirm_pin, sign_in_by_pin
from enrollment.rider_web import (
    rider_guard,
    start_rider_session,
    stop_rider_session,
    this_rider,
)
from enrollment.start_codes import StartRefused, choose_pin
from enrollment.store import Enrollment
from models.access.web import with_camera
from models.wire.keys import KeyFileError, from_base64url

PHOTO_BYTES_MAX = 4_000_000
FRAME_BYTES_MAX = 600_000  # 1280 pixels a side, as the page makes them
RETRY_AFTER_S = 1


def sign_in_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    """Add all of them."""
    _pin_pages(blueprint, enrollment)
    _start_pages(blueprint, enrollment)
    _passkey_sign_in(blueprint, enrollment)
    _passkey_pages(blueprint, enrollment)


def _pin_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/sign-in")
    @with_camera
    def sign_in() -> str:
        return render_template("rider/sign_in.html", problem="")

    @blueprint.errorhandler(ScansBusy)
    @with_camera
    def busy(error: ScansBusy) -> tuple[str, int, dict[str, str]]:
        page = render_template("rider/sign_in.html", problem=str(error))
        return page, 503, {"Retry-After": str(RETRY_AFTER_S)}

    @blueprint.post("/scan")
    def scan() -> Response:
        data = request.get_data(cache=False)
        if len(data) > FRAME_BYTES_MAX:
            abort(413)
        try:
            text = pass_in_photo(data, FRAME_PIXELS_MAX, enrollment.scanning)
            return jsonify({"pass": text})
        except NoPassSeen as error:
            return jsonify({"pass": None, "problem": str(error)})

    @blueprint.post("/sign-in")
    @with_camera
    def check_sign_in() -> AnyResponse | tuple[str, int]:
        try:
            rider_id = sign_in_by_pin(
                enrollment,
                _pass_text(enrollment),
                request.form.get("pin", ""),
                request.remote_addr,
                enrollment.clock(),
            )
        except (RiderSignInRefused, NoPassSeen) as error:
            return render_template("rider/sign_in.html", problem=str(error)), 401
        answer = redirect(url_for("rider.home"), 303)
        start_rider_session(enrollment, rider_id, answer)
        return answer

    @blueprint.post("/sign-out")
    def sign_out() -> AnyResponse:
        answer = redirect(url_for("rider.sign_in"), 303)
        stop_rider_session(enrollment, answer)
        return answer


def _start_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.get("/start")
    def start() -> str:
        return _start_page(())

    @blueprint.post("/start")
    def check_start() -> AnyResponse | tuple[str, int]:
        fields = request.form
        try:
            pin = read_pin({name: fields.get(name, "") for name in ("pin", "pin_again")})
            rider_id = choose_pin(
                enrollment,
                fields.get("who", ""),
                fields.get("code", ""),
                pin,
                request.remote_addr,
                enrollment.clock(),
            )
        except EnrollmentRefused as error:
            return _start_page(error.problems), 400
        except StartRefused as error:
            return _start_page((str(error),)), 401
        flash(_("Your PIN is set. From now on sign in with your reference or pass, and this PIN."))
        answer = redirect(url_for("rider.home"), 303)
        start_rider_session(enrollment, rider_id, answer)
        return answer


def _start_page(problems: tuple[str, ...]) -> str:
    return render_template(
        "rider/start.html", problems=problems, who=request.values.get("who", "")[:64]
    )


def _pass_text(enrollment: Enrollment) -> str:
    """The pass as it was given: typed or pasted, or in a photograph."""
    typed = request.form.get("pass", "").strip()
    photo = request.files.get("photo")
    if typed or photo is None or not photo.filename:
        return typed
    return pass_in_photo(photo.read(PHOTO_BYTES_MAX + 1), PHOTO_PIXELS_MAX, enrollment.scanning)


def _passkey_sign_in(blueprint: Blueprint, enrollment: Enrollment) -> None:
    @blueprint.post("/passkey/ask")
    def passkey_ask() -> Response:
        return _json(ask_to_sign_in(enrollment, _site(), enrollment.clock()))

    @blueprint.post("/passkey/sign-in")
    def passkey_sign_in() -> AnyResponse | tuple[Response, int]:
        try:
            rider_id = sign_in_by_passkey(
                enrollment,
                read_answer(request.get_data()),
                _site(),
                enrollment.clock(),
            )
        except PasskeyRefused as error:
            return jsonify(problem=str(error)), 401
        answer = jsonify(next=url_for("rider.home"))
        start_rider_session(enrollment, rider_id, answer)
        return answer


def _passkey_pages(blueprint: Blueprint, enrollment: Enrollment) -> None:
    signed_in = rider_guard(enrollment)

    @blueprint.get("/passkeys")
    @signed_in
    def passkeys() -> str:
        known = passkeys_of(enrollment, this_rider().rider_id)
        return render_template("rider/passkeys.html", passkeys=known)

    @blueprint.post("/passkeys/ask")
    @signed_in
    def passkey_options() -> Response | tuple[Response, int]:
        rider, now = this_rider(), enrollment.clock()
        try:
            pin = str(read_answer(request.get_data()).get("pin", ""))
            confirm_pin(enrollment, rider, pin, request.remote_addr, now)
            return _json(ask_for_new(enrollment, rider, _site(), now))
        except RiderSignInRefused as error:
            return jsonify(problem=str(error)), 401
        except PasskeyRefused as error:
            return jsonify(problem=str(error)), 409

    @blueprint.post("/passkeys")
    @signed_in
    def keep_passkey() -> Response | tuple[Response, int]:
        try:
            made = read_answer(request.get_data())
            keep_new(enrollment, this_rider(), made, _site(), enrollment.clock())
        except PasskeyRefused as error:
            return jsonify(problem=str(error)), 400
        flash(_("The passkey is kept: next time sign in with it."))
        return jsonify(next=url_for("rider.passkeys"))

    @blueprint.post("/passkeys/remove")
    @signed_in
    def forget_passkey() -> AnyResponse:
        try:
            credential = from_base64url(request.form.get("passkey", ""))
        except KeyFileError:
            credential = b""
        remove_passkey(enrollment, this_rider().rider_id, credential)
        flash(_("The passkey opens nothing here any more."))
        return redirect(url_for("rider.passkeys"), 303)


def _site() -> Site:
    """The server as this browser reaches it; the application answers to its own names only."""
    host = request.host_url.split("//", 1)[1].split("/", 1)[0]
    return Site(host.rsplit(":", 1)[0] if ":" in host else host, request.host_url.rstrip("/"))


def _json(text: str) -> Response:
    return Response(text, content_type="application/json")
