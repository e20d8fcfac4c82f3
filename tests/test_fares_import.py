"""A feed is imported whole, or refused with every reason at once."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from ledger.fares import feedfiles
from ledger.fares.book import FareBook, NoFares
from ledger.fares.feedfiles import FeedUnreadable
from ledger.fares.gtfs import import_feed
from ledger.fares.problems import FeedRefused
from tests.fares_feed import FILES, START, write_feed


def refused(directory: Path, **changed: str | None) -> str:
    with pytest.raises(FeedRefused) as caught:
        import_feed(write_feed(directory, **changed), START)
    return str(caught.value)


def with_line(name: str, line: str) -> str:
    return FILES[f"{name}.txt"] + line + "\n"


BAD = [
    # file, text, what the sentence must say
    ("fare_products", None, "fare_products.txt: expected this file"),
    ("stops", None, "stops.txt: expected this file"),
    (
        "fare_leg_rules",
        with_line("fare_leg_rules", "metro,metro,A,A,gold"),
        'fare_leg_rules.txt line 12, fare_product_id "gold": expected an id that is in fare_produ',
    ),
    ("fare_leg_rules", with_line("fare_leg_rules", "m,metro,A,Q,one"), 'to_area_id "Q"'),
    ("fare_leg_rules", with_line("fare_leg_rules", "m,tram,A,A,one"), 'network_id "tram"'),
    ("fare_leg_rules", with_line("fare_leg_rules", "m,metro,A,A,one"), "line 2 has not used"),
    ("fare_leg_rules", with_line("fare_leg_rules", "m,metro"), "expected 5 values, found 2"),
    ("stop_areas", with_line("stop_areas", "A,nowhere"), 'stop_id "nowhere"'),
    ("stops", with_line("stops", "x,X,52,13,0,lost"), 'parent_station "lost"'),
    ("stops", with_line("stops", "x,X,91,13,0,"), 'stop_lat "91": expected a number from -90'),
    (
        "rider_categories",
        with_line("rider_categories", "senior,Senior,1"),
        'is_default_fare_category "1": expected one default category; adult is it already',
    ),
    (
        "rider_categories",
        FILES["rider_categories.txt"].replace("adult,Adult,1", "adult,Adult,0"),
        "expected a default among the product's categories",
    ),
    (
        "fare_products",
        FILES["fare_products.txt"].replace("3.00,EUR", "3.005,EUR"),
        'amount "3.005": expected an amount in EUR, which is written with 2 decimals',
    ),
    ("fare_products", FILES["fare_products.txt"].replace("3.00,EUR", "3,EUR"), 'amount "3"'),
    ("fare_products", FILES["fare_products.txt"].replace("3.00,EUR", "NaN,EUR"), 'amount "NaN"'),
    ("fare_products", FILES["fare_products.txt"].replace("3.00,EUR", "3.00,XQQ"), "ISO 4217"),
    (
        "fare_products",
        FILES["fare_products.txt"].replace("3.00,EUR", "3.00,USD"),
        'currency "USD": expected EUR',
    ),
    ("fare_products", with_line("fare_products", "one,One,adult,2.10,EUR"), "line 2 has not used"),
    ("fare_products", with_line("fare_products", "one,One,elf,2.10,EUR"), 'rider_category_id "elf'),
    (
        "fare_transfer_rules",
        with_line("fare_transfer_rules", "bus,metro,,-60,1,0,"),
        'duration_limit "-60": expected a whole number of at least 1',
    ),
    (
        "fare_transfer_rules",
        with_line("fare_transfer_rules", "bus,metro,,60,,0,"),
        "duration_limit_t",
    ),
    ("fare_transfer_rules", with_line("fare_transfer_rules", "bus,bus,,,,0,"), "transfer_count"),
    ("fare_transfer_rules", with_line("fare_transfer_rules", "bus,metro,2,,,0,"), "groups differ"),
    ("fare_transfer_rules", with_line("fare_transfer_rules", "bus,bus,0,,,0,"), "-1 or a number"),
    (
        "fare_transfer_rules",
        with_line("fare_transfer_rules", "bus,tram,,,,0,"),
        'to_leg_group_id "tr',
    ),
    ("fare_transfer_rules", with_line("fare_transfer_rules", "bus,metro,,,,7,"), "one of 0, 1, 2"),
    ("networks", None, "expected an id that is in networks.txt"),
    (
        "routes",
        "route_id,route_type,network_id\nM,1,metro\n",
        "networks.txt: expected no such file, as routes.txt has network_id",
    ),
    ("agency", "agency_id,agency_name,agency_timezone\nT,Town,Mars/Base\n", "IANA"),
    ("agency", "agency_id,agency_name,agency_timezone\n", "at least one agency"),
    (
        "timeframes",
        "timeframe_group_id,start_time,end_time,service_id\npeak,06:00:00,25:00:00,weekday\n",
        'end_time "25:00:00": expected a time from 00:00:00 to 24:00:00',
    ),
    (
        "timeframes",
        "timeframe_group_id,start_time,end_time,service_id\npeak,06:00:00,,weekday\n",
        "both start_time and end_time, or neither",
    ),
    (
        "timeframes",
        "timeframe_group_id,start_time,end_time,service_id\npeak,,,weekday\n",
        'service_id "weekday": expected an id that is in calendar.txt',
    ),
    (
        "calendar",
        "service_id,monday,tuesday,wednesday,thursday,friday,saturday,sunday,start_date,end_date\n"
        "w,1,1,1,1,1,0,0,20230229,20241231\n",
        'start_date "20230229": expected a date that exists',
    ),
    ("fare_caps", with_line("fare_caps", "x,X,,tram,day,5.00,EUR"), "tram is not one"),
    ("fare_caps", with_line("fare_caps", "x,X,,,month,5.00,EUR"), "one of day, week"),
    ("fare_caps", with_line("fare_caps", "x,X,,,day,-5.00,EUR"), "not negative"),
    ("fare_caps", with_line("fare_caps", "day,X,,,day,5.00,EUR"), "line 2 has not used"),
    (
        "fare_caps",
        FILES["fare_caps.txt"] + "".join(f"c{i},C,,,day,5.00,EUR\n" for i in range(4)),
        "at most 5 caps",
    ),
    ("fare_policies", with_line("fare_policies", "tram,tap_on,,EUR,,"), 'network_id "tram"'),
    ("fare_policies", FILES["fare_policies.txt"].replace("5400", "-1"), "journey_limit_s"),
    (
        "fare_policies",
        FILES["fare_policies.txt"].replace("rail,tap_on_off", "rail,tap_on"),
        "tap_on_off, as rail is priced by distance",
    ),
    ("fare_distances", FILES["fare_distances.txt"].replace("rail,,,6.50\n", ""), "empty up_to_m"),
    ("fare_stations", with_line("fare_stations", "x,,nowhere,bus"), 'stop_id "nowhere"'),
    ("fare_leg_join_rules", "from_network_id,to_network_id\nmetro,bus\n", "the same network as"),
    ("fare_media", "fare_media_id,fare_media_type\ncard,9\n", "one of 0, 1, 2, 3, 4"),
    ("areas", "area_id,area_id\nA,B\n", "names each field once"),
    ("areas", 'area_id,area_name\nA,"Inner\n', "comma-separated values"),
]


@pytest.mark.parametrize(("name", "text", "sentence"), BAD)
def test_a_bad_feed_is_refused_with_a_sentence(
    tmp_path: Path, name: str, text: str | None, sentence: str
) -> None:
    assert sentence in refused(tmp_path, **{name: text})


def test_the_good_feed_is_imported(tmp_path: Path) -> None:
    tables = import_feed(write_feed(tmp_path), START)
    assert tables.currency == "EUR"
    assert tables.route_networks == {"M": "metro", "B": "bus", "R": "rail"}
    assert tables.default_category == "adult"
    assert tables.warnings == ()


def test_all_problems_are_told_at_once(tmp_path: Path) -> None:
    message = refused(
        tmp_path,
        fare_products=FILES["fare_products.txt"].replace("1.50,EUR", "1.5,EUR"),
        fare_leg_rules=with_line("fare_leg_rules", "m,tram,A,Q,gold"),
        fare_caps=with_line("fare_caps", "x,X,,tram,day,5.00,EUR"),
    )
    assert "refused for 5 problems" in message
    for value in ('"1.5"', '"tram"', '"Q"', '"gold"', "networks of the feed; tram is not one"):
        assert value in message


def test_text_that_is_not_utf_8_is_refused(tmp_path: Path) -> None:
    write_feed(tmp_path)
    (tmp_path / "areas.txt").write_bytes(b"area_id,area_name\nA,Stra\xdfe\n")
    with pytest.raises(FeedRefused, match=r"areas\.txt: expected UTF-8 text"):
        import_feed(tmp_path, START)


def test_a_byte_order_mark_and_windows_line_ends_are_read(tmp_path: Path) -> None:
    write_feed(tmp_path)
    for path in tmp_path.iterdir():
        path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert import_feed(tmp_path, START).currency == "EUR"


def zip_of(directory: Path, target: Path) -> Path:
    with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED) as archive:
        for path in sorted(directory.iterdir(), reverse=True):
            archive.write(path, path.name)
    return target


def test_a_directory_and_its_zip_are_the_same_feed(tmp_path: Path) -> None:
    feed = write_feed(tmp_path / "feed")
    packed = import_feed(zip_of(feed, tmp_path / "feed.zip"), START)
    assert packed.sha256 == import_feed(feed, START).sha256
    (feed / "fare_caps.txt").write_text(FILES["fare_caps.txt"].replace("6.00", "6.10"))
    assert packed.sha256 != import_feed(feed, START).sha256


def test_a_zip_that_unpacks_to_too_much_is_not_unpacked(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feedfiles, "FILE_BYTES_MAX", 200_000)
    feed = write_feed(tmp_path / "feed", stops=FILES["stops.txt"] + "\n" * 1_000_000)
    packed = zip_of(feed, tmp_path / "bomb.zip")
    assert packed.stat().st_size < 20_000
    with pytest.raises(FeedUnreadable, match=r"stops\.txt is larger than 200000 bytes"):
        import_feed(packed, START)
    monkeypatch.setattr(feedfiles, "FILE_BYTES_MAX", 2_000_000)
    monkeypatch.setattr(feedfiles, "FEED_BYTES_MAX", 500_000)
    with pytest.raises(FeedUnreadable, match="it is not a feed"):
        import_feed(packed, START)


def test_what_is_no_feed_is_said_to_be_none(tmp_path: Path) -> None:
    with pytest.raises(FeedUnreadable, match="neither a directory nor a ZIP"):
        import_feed(tmp_path / "missing.zip", START)
    (tmp_path / "broken.zip").write_bytes(b"PK\x03\x04 but no more")
    with pytest.raises(FeedUnreadable, match="cannot be unpacked"):
        import_feed(tmp_path / "broken.zip", START)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FeedUnreadable, match="no GTFS file at its top level"):
        import_feed(tmp_path / "empty", START)


def test_a_tap_on_network_whose_arrival_changes_the_price_is_told(tmp_path: Path) -> None:
    policies = FILES["fare_policies.txt"].replace("metro,tap_on_off", "metro,tap_on")
    (warning,) = import_feed(write_feed(tmp_path, fare_policies=policies), START).warnings
    assert "the arrival changes the price of metro" in str(warning)


def test_there_is_no_book_without_tables() -> None:
    with pytest.raises(NoFares, match="facefare fares import"):
        FareBook.of()
