"""Addresses that are found once lead where they always led."""

from __future__ import annotations

import pytest

from facefare.addresses import Application, KnownAddresses


@pytest.fixture
def app() -> Application:
    made = Application("addresses")
    made.add_url_rule("/taps", "taps", lambda: "charged", methods=["POST"])
    made.add_url_rule("/page", "page", lambda: "read", methods=["GET"])
    made.add_url_rule("/page", "change", lambda: "changed", methods=["POST"])
    made.add_url_rule("/folder/", "folder", lambda: "folder")
    made.add_url_rule("/riders/<name>", "rider", lambda name: f"rider {name}")
    return made


def test_each_address_leads_to_its_page_however_often(app: Application) -> None:
    client = app.test_client()
    for _ in range(3):
        assert client.post("/taps").text == "charged"
        assert client.get("/page").text == "read"
        assert client.post("/page").text == "changed"
        assert client.head("/page").status_code == 200
        assert client.get("/taps").status_code == 405
        assert set(client.put("/page").allow) == {"GET", "HEAD", "OPTIONS", "POST"}
        assert client.get("/nothing").status_code == 404
        assert client.get("/folder").status_code == 308
        assert client.get("/folder/").text == "folder"
        assert client.get("/riders/mei").text == "rider mei"
        assert client.get("/riders/lin").text == "rider lin"


def test_no_more_is_remembered_than_there_are_rules(app: Application) -> None:
    client = app.test_client()
    for number in range(50):
        client.get(f"/riders/{number}")
        client.get(f"/nothing/{number}")
        client.get(f"/page?{number}")
        client.get("/" * number + "/page")
        client.open("/page", method="gEt" if number % 2 else "geT")
    assert isinstance(app.url_map, KnownAddresses)
    assert set(app.url_map.known) == {("GET", "/page", False)}
