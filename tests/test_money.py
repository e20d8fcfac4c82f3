"""Money: whole minor units, a known currency, nothing rounded."""

from __future__ import annotations

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.money import Money, MoneyError, parse_money


def test_amounts_of_one_currency_add_and_subtract() -> None:
    assert Money(250, "CNY") + Money(5, "CNY") - Money(55, "CNY") == Money(200, "CNY")
    assert -Money(200, "CNY") == Money(-200, "CNY")


def test_two_currencies_never_add() -> None:
    with pytest.raises(MoneyError, match="cannot add EUR to CNY"):
        Money(1, "CNY") + Money(1, "EUR")


@pytest.mark.parametrize("minor", [1.0, True, "1", None])
def test_anything_but_a_whole_number_is_refused(minor: object) -> None:
    with pytest.raises(MoneyError, match="whole number of minor units"):
        Money(minor, "CNY")  # type: ignore[arg-type]


@pytest.mark.parametrize("code", ["", "cny", "XXL", "CN", None])
def test_an_unknown_currency_is_refused(code: object) -> None:
    with pytest.raises(MoneyError, match="ISO 4217"):
        Money(1, code)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("typed", "currency", "minor"),
    [("20", "CNY", 2000), (" 2.50 ", "EUR", 250), ("-0.05", "CNY", -5), ("300", "JPY", 300)],
)
def test_what_a_person_types_is_read_exactly(typed: str, currency: str, minor: int) -> None:
    assert parse_money(typed, currency) == Money(minor, currency)


@pytest.mark.parametrize(
    "typed",
    ["", "two", "1,50", "NaN", "Infinity", "1e999999", "0x10", "1 000", "1_0", "١٢", "+", "1."],
)
def test_what_is_no_amount_is_refused(typed: str) -> None:
    with pytest.raises(MoneyError):
        parse_money(typed, "CNY")


def test_more_decimals_than_the_currency_has_are_refused_not_rounded() -> None:
    with pytest.raises(MoneyError, match=r"more decimals than CNY knows \(2\)"):
        parse_money("2.505", "CNY")
    with pytest.raises(MoneyError):
        parse_money("0.0100000000000000000000000000000000001", "CNY")
    with pytest.raises(MoneyError, match=r"more decimals than JPY knows \(0\)"):
        parse_money("2.5", "JPY")


def test_an_amount_beyond_exact_json_numbers_is_refused() -> None:
    with pytest.raises(MoneyError, match="larger than any amount"):
        parse_money("90071992547409.92", "CNY")
    assert parse_money("90071992547409.91", "CNY").minor == 2**53 - 1


def test_amounts_are_written_as_people_write_them() -> None:
    assert Money(200, "CNY").text() == "CN¥2.00"
    assert Money(200, "CNY").text("zh") == "¥2.00"
    assert Money(1234, "JPY").text() == "¥1,234"


@given(st.integers(-(2**53) + 1, 2**53 - 1))
def test_every_amount_survives_being_written_and_read(minor: int) -> None:
    money = Money(minor, "EUR")
    assert money.major() == Decimal(minor) / 100
    assert parse_money(str(money.major()), "EUR") == money
