"""The rules of a charge in words a rider understands, in English and Chinese.

A rule is a code and its values; the sentence is made when somebody reads it. ``line`` points
at the row of the feed that justifies the rule, for the help desk and the finance page.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

from models.money import Money

LANGUAGES = ("en", "zh")
Value = str | int | Money

SENTENCES: dict[str, tuple[str, str]] = {
    "leg": (
        "{product}, {start} to {end}: {amount}.",
        "{product}，{start} 至 {end}：{amount}。",
    ),
    "leg_from": (
        "{product}, from {start}: {amount}.",
        "{product}，{start} 上车：{amount}。",
    ),
    "distance": (
        "{product} by distance ({metres} m), {start} to {end}: {amount}.",
        "{product}（按里程计费，{metres} 米），{start} 至 {end}：{amount}。",
    ),
    "transfer": (
        "Transfer at {start}: the journey so far costs {amount} together.",
        "在 {start} 换乘：到此为止全程共 {amount}。",
    ),
    "included": (
        "{product} from {start}: included in the transfer.",
        "{product}，{start} 上车：已含在换乘票价内。",
    ),
    "concession": ("Priced for {category}.", "按“{category}”票价计费。"),
    "cap_day": (
        "Daily limit reached: {cap}, {amount} for {day}.",
        "已达当日封顶：{cap}，{day} 最高 {amount}。",
    ),
    "cap_week": (
        "Weekly limit reached: {cap}, {amount} for the week from {day}.",
        "已达每周封顶：{cap}，{day} 起一周最高 {amount}。",
    ),
    "opened": (
        "Your journey began at {start}. Tap out when you leave; up to {amount} is held until then.",
        "行程从 {start} 开始。请在出站时验票，在此之前最多预留 {amount}。",
    ),
    "closed": ("Your journey from {start} ended at {end}.", "行程结束：{start} 至 {end}。"),
    "exit_free": (
        "Leaving is free: the ride was paid on the way in.",
        "出站不收费：上车时已付款。",
    ),
    "repeat": (
        "The same passage was seen twice; it is charged once.",
        "同一次通行被识别两次，只收费一次。",
    ),
    "mistake": (
        "In and out at {start} within a short time: nothing is charged.",
        "在 {start} 短时间内进出站：不收费。",
    ),
    "same_station": (
        "In and out at {start}: the same-station fare of {amount}.",
        "在 {start} 同站进出：同站票价 {amount}。",
    ),
    "reentry": (
        "Back in at {start} right after leaving: your journey goes on.",
        "在 {start} 出站后随即再次进站：行程继续。",
    ),
    "clocks": (
        "Two gates' clocks differ a little; your taps were put in the right order.",
        "两处闸机的时钟略有差异，已按正确顺序排列您的刷卡记录。",
    ),
    "no_entry": (
        "No entry is known for your journey to {end}; up to {amount} is held until the day closes.",
        "未找到到达 {end} 的行程的进站记录；当日结算前最多预留 {amount}。",
    ),
    "over_long": (
        "The journey took longer than allowed, so it counts as two without their other half.",
        "行程超过时限，按两次不完整行程处理。",
    ),
    "held": (
        "{amount} is held, not charged, for the journey at {start} without its other tap.",
        "{start} 的行程缺少另一次验票，预留 {amount}，尚未扣款。",
    ),
    "maximum": (
        "The other tap of the journey at {start} is missing: maximum fare {amount}.",
        "{start} 的行程缺少另一次验票：按最高票价 {amount} 收费。",
    ),
    "completed": (
        "A tap was missing; we took your usual trip, {start} to {end}: {amount}.",
        "缺少一次验票，已按您常走的行程 {start} 至 {end} 计费：{amount}。",
    ),
    "unknown_fare": (
        "There is no fare for {start} to {end}: nothing is charged, and we will look into it.",
        "{start} 至 {end} 没有对应票价：不收费，我们会核查。",
    ),
    "rerated": (
        "Your rides of the week from {day} were worked out again: {amount}.",
        "自 {day} 起一周的行程已重新计费：{amount}。",
    ),
    "noted": ("Your tap at {start} was noted.", "已记录您在 {start} 的验票。"),
    "unknown_place": (
        "There are no fares yet for {start}: nothing is charged, and we will look into it.",
        "{start} 尚无票价：不收费，我们会核查。",
    ),
    "refund_only": (
        "A tap reached us after more than three days: it may lower your charge, never raise it.",
        "有一次验票记录迟到超过三天：只会减少您的费用，不会增加。",
    ),
}


@lru_cache(maxsize=4096)  # most rides of a day are said alike, and formatting money is slow
def _sentence(code: str, values: tuple[tuple[str, Value], ...], chinese: bool) -> str:
    said = {
        name: value.text("zh" if chinese else "en") if isinstance(value, Money) else value
        for name, value in values
    }
    return SENTENCES[code][chinese].format(**said)


class Rule(NamedTuple):
    """A rule that made a charge: its code, the values of its sentence, and where it stands."""

    code: str
    values: tuple[tuple[str, Value], ...] = ()
    file: str = ""
    line: int = 0

    def words(self, language: str = "en") -> str:
        """The rule as a sentence; any language but Chinese is English."""
        return _sentence(self.code, self.values, language.startswith("zh"))

    @property
    def row(self) -> str:
        """The row of the feed that justifies the rule, such as ``fare_leg_rules.txt:12``."""
        return f"{self.file}:{self.line}" if self.line else ""
