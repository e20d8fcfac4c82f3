"""What the server tells browsers, and whom it believes about where a request is from."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner
from flask import Flask, request
from flask.testing import FlaskClient
from werkzeug.routing import Rule

from facefare.server import create_app, serve
from facefare.setup import make_data
from models.access.web import with_camera
from models.settings import DataDirectory, SettingsError, parse_settings

FORWARDED = {
    "X-Forwarded-For": "203.0.113.66, 198.51.100.1",
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "transit.example",
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Iterator[DataDirectory]:
    made = DataDirectory(tmp_path_factory.mktemp("headers") / "data")
    make_data(made, "Test Transit", "fares.example/test")
    yield made


def seen(app: Flask) -> FlaskClient:
    """A browser on ``app`` with an address that says what the server believes."""

    def show() -> dict[str, str | None]:
        return {"from": request.remote_addr, "scheme": request.scheme, "host": request.host}

    app.url_map.add(Rule("/seen", endpoint="seen", methods=["GET"]))
    app.view_functions["seen"] = show
    return app.test_client()


def test_every_page_forbids_scripts_frames_and_devices(data: DataDirectory) -> None:
    headers = create_app(data).test_client().get("/").headers
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert headers["Permissions-Policy"].startswith("camera=()")
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Cache-Control"] == "no-store"
    assert "Strict-Transport-Security" not in headers


def test_a_page_may_ask_for_the_camera_for_itself_alone(data: DataDirectory) -> None:
    app = create_app(data)
    app.url_map.add(Rule("/photo", endpoint="photo", methods=["GET"]))
    app.view_functions["photo"] = with_camera(lambda: "a camera page")
    answer = app.test_client().get("/photo")
    assert answer.text == "a camera page"
    assert answer.headers["Permissions-Policy"].startswith("camera=(self)")


def test_behind_https_cookies_are_secure_and_browsers_stay_with_it(data: DataDirectory) -> None:
    client = create_app(data, https=True, proxies=1).test_client()
    answer = client.get("/staff/sign-in", headers={"X-Forwarded-Proto": "https"})
    assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"
    [cookie] = answer.headers.getlist("Set-Cookie")
    assert cookie.startswith("__Host-session=")
    for mark in ("Secure", "HttpOnly", "SameSite=Lax", "Path=/"):
        assert mark in cookie
    assert "Domain" not in cookie


def test_without_a_proxy_of_ours_what_a_request_says_of_its_way_is_ignored(
    data: DataDirectory,
) -> None:
    told = seen(create_app(data)).get("/seen", headers=FORWARDED).json
    assert told == {"from": "127.0.0.1", "scheme": "http", "host": "localhost"}


@pytest.mark.parametrize(("proxies", "origin"), [(1, "198.51.100.1"), (2, "203.0.113.66")])
def test_proxies_are_counted_exactly(data: DataDirectory, proxies: int, origin: str) -> None:
    """Whatever a visitor wrote further left in the header is not believed."""
    client = seen(create_app(data, proxies=proxies, hosts=["transit.example"]))
    several = {
        **FORWARDED,
        "X-Forwarded-Proto": ", ".join(["https"] * proxies),
        "X-Forwarded-Host": ", ".join(["transit.example"] * proxies),
    }
    told = client.get("/seen", headers=several).json
    assert told == {"from": origin, "scheme": "https", "host": "transit.example"}


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "xlocalhost", "transit.example:80@evil"]
)
def test_another_host_name_gets_no_page(data: DataDirectory, host: str) -> None:
    answer = (
        create_app(data, hosts=["transit.example"])
        .test_client()
        .get("/staff/sign-in", headers={"Host": host})
    )
    assert answer.status_code == 400
    assert "<form" not in answer.text


@pytest.mark.parametrize(
    "host", ["localhost:8420", "127.0.0.1:8420", "[::1]:8420", "transit.example", "desk.example"]
)
def test_our_own_names_are_answered(data: DataDirectory, host: str) -> None:
    text = data.settings_file.read_text().replace("# hosts =", "hosts =")
    settings = parse_settings(text.replace("transit.example", "desk.example"), data.settings_file)
    assert settings.hosts == ("desk.example",)
    client = create_app(data, hosts=["transit.example", *settings.hosts]).test_client()
    assert client.get("/", headers={"Host": host}).status_code == 200


def test_a_host_in_the_settings_is_a_plain_name(data: DataDirectory) -> None:
    text = data.settings_file.read_text().replace("# hosts =", "hosts =")
    with pytest.raises(SettingsError, match="hosts"):
        parse_settings(text.replace("transit.example", "https://x/"), data.settings_file)


def test_serving_to_others_without_https_is_refused(tmp_path: Path) -> None:
    result = CliRunner().invoke(serve, ["--data", str(tmp_path), "--host", "0.0.0.0"])
    assert "passwords would travel in the clear" in str(result.exception)
