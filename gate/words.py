"""Every text a rider can see at a gate, once, in English and in Chinese.

    Word.NOT_RECOGNISED = "not-recognised"      the stable code: in code, logs and metrics
    in_english("not-recognised")                "Not recognised. Please show your pass …"
    both("not-recognised")                      Said(code, english, chinese)

The rest of the gate passes codes. A text that is no code, such as a sentence of the server,
is shown as it is in both languages: better in one language than not at all.
"""

# ruff: noqa: S105 - a pass is a ticket here, not a password

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum

from models.faces.quality import ADVICE, Reason


class Word(StrEnum):
    """The codes. They are kept for good: dashboards and alarms are built on them."""

    # The states of a passage.
    IDLE = "idle"
    POSITION = "position"
    LOOK = "look"
    OPEN = "open"
    REFUSED = "refused"
    SECOND_FACTOR = "second-factor"
    ALREADY_PASSED = "already-passed"
    FAULT = "fault"
    # Reasons and advice.
    HOLD_STILL = "hold-still"
    NOT_RECOGNISED = "not-recognised"
    TWO_RIDERS = "two-riders"
    NOT_LIVE = "not-live"
    NO_MOVEMENT = "no-movement"
    MOVE_A_LITTLE = "move-a-little"
    NO_GALLERY = "no-gallery"
    OUT_OF_ORDER = "out-of-order"
    JUST_PASSED = "just-passed"
    DISPUTED = "disputed"
    ENOUGH_TODAY = "enough-today"
    SHOW_AGAIN = "show-again"
    NOT_CONFIRMED = "not-confirmed"
    TOO_MUCH = "too-much"
    TOO_MUCH_TODAY = "too-much-today"
    OFFLINE_LIMIT = "offline-limit"
    PASS_ONLY = "pass-only"
    # Why an account may not ride, by the ledger's own codes. Balances are no business of
    # whoever stands behind the rider: the sentences here name none.
    BALANCE_TOO_LOW = "overdraft"
    PAUSED_BY_RIDER = "rider_request"
    REPORTED_LOST = "lost"
    PAYMENT_RETURNED = "unpaid"
    LOOKED_INTO = "misuse"
    BLOCKED = "blocked"
    # The pass and the last four digits.
    SHOW_PASS = "show-pass"
    PASS_UNREADABLE = "pass-unreadable"
    PASS_EXPIRED = "pass-expired"
    PASS_WITHDRAWN = "pass-withdrawn"
    PASS_OTHER_FACE = "pass-other-face"
    PASS_WITH_FACE = "pass-with-face"
    ENTER_DIGITS = "enter-digits"
    DIGITS_WRONG = "digits-wrong"
    CLEAR = "clear"
    CANCEL = "cancel"
    # After the ledger's answer.
    FARE = "fare"
    BALANCE = "balance"
    CHARGED_LATER = "charged-later"
    # Faults, as riders see them.
    DOOR_FAULT = "door-fault"
    DOOR_HELD = "door-held"
    DOOR_FORCED = "door-forced"
    CAMERA_FAULT = "camera-fault"
    RECORD_FAULT = "record-fault"
    OFFLINE = "offline"
    GATE_SILENT = "gate-silent"
    RELEASED = "released"


LANGUAGES = ("en", "zh")

_TEXTS: dict[Word, tuple[str, str]] = {
    Word.IDLE: ("Step up to the camera", "请站到镜头前"),
    Word.POSITION: ("Take your place", "请站好位置"),
    Word.LOOK: ("Look here", "请看这里"),
    Word.OPEN: ("Please go through", "请通行"),
    Word.REFUSED: ("Stop", "请止步"),
    Word.SECOND_FACTOR: ("One more step", "还需一步"),
    Word.ALREADY_PASSED: ("Already passed", "您已通行"),
    Word.FAULT: ("Out of order", "设备故障"),
    Word.HOLD_STILL: ("Look at the camera.", "请看镜头。"),
    Word.NOT_RECOGNISED: (
        "Not recognised. Please use your pass, card, ticket or the staffed gate.",
        "未能识别。请出示乘车码、卡或车票，或走人工通道。",
    ),
    Word.TWO_RIDERS: (
        "Two riders look alike here. Please enter the last four digits of your phone number, or "
        "show your pass.",
        "有两位乘客相貌相近。请输入手机号后四位，或出示乘车码。",
    ),
    Word.NOT_LIVE: (
        "The camera could not confirm a living face. Please show your pass.",
        "镜头未能确认是真人面部。请出示乘车码。",
    ),
    Word.NO_MOVEMENT: (
        "The camera saw no natural movement. Please show your pass.",
        "镜头未看到自然动作。请出示乘车码。",
    ),
    Word.MOVE_A_LITTLE: (
        "Look at the camera and nod a little, or show your pass.",
        "请看镜头并轻轻点头，或出示乘车码。",
    ),
    Word.NO_GALLERY: (
        "Faces are not recognised here now. Please use your pass, card, ticket or the staffed "
        "gate.",
        "此处暂不能刷脸。请出示乘车码、卡或车票，或走人工通道。",
    ),
    Word.OUT_OF_ORDER: (
        "This gate cannot record rides now. Please use another gate.",
        "本闸机暂时无法记录行程。请使用其他闸机。",
    ),
    Word.JUST_PASSED: (
        "You have just passed here; you are not charged again.",
        "您刚刚已从此处通行，不会重复扣费。",
    ),
    Word.DISPUTED: (
        "A ride on your account is being looked into. Please show your pass.",
        "您账户的一笔行程正在核查。请出示乘车码。",
    ),
    Word.ENOUGH_TODAY: (
        "That is enough rides by face for today. Please show your pass.",
        "今日刷脸次数已用完。请出示乘车码。",
    ),
    Word.SHOW_AGAIN: (
        "Please show your pass this once; after that your face is enough again.",
        "请出示一次乘车码，之后可继续刷脸。",
    ),
    Word.NOT_CONFIRMED: (
        "Your face could not be confirmed several times today. Please show your pass.",
        "今日多次未能确认您的面部。请出示乘车码。",
    ),
    Word.TOO_MUCH: (
        "This ride may cost more than a face alone may pay. Please show your pass.",
        "本次行程费用可能超过刷脸限额。请出示乘车码。",
    ),
    Word.TOO_MUCH_TODAY: (
        "Today's rides by face reach their limit. Please show your pass.",
        "今日刷脸乘车已达限额。请出示乘车码。",
    ),
    Word.OFFLINE_LIMIT: (
        "This gate has no connection, and your rides by face wait for it. Please show your pass.",
        "本闸机暂无网络，您的刷脸行程待结算。请出示乘车码。",
    ),
    Word.PASS_ONLY: (
        "This gate has been without a connection for long. Please show your pass.",
        "本闸机断网已久，暂不能刷脸。请出示乘车码。",
    ),
    Word.BALANCE_TOO_LOW: (
        "Your balance is too low for this ride. Please top up, or use another ticket.",
        "余额不足。请充值，或使用其他车票。",
    ),
    Word.PAUSED_BY_RIDER: (
        "This account is paused at the rider's own request. Please use another ticket.",
        "账户已按乘客本人要求暂停。请使用其他车票。",
    ),
    Word.REPORTED_LOST: (
        "A pass of this account was reported lost. Please ask the staff.",
        "此账户的乘车码已挂失。请咨询工作人员。",
    ),
    Word.PAYMENT_RETURNED: (
        "A payment for this account was returned. Please ask the staff.",
        "此账户的一笔付款被退回。请咨询工作人员。",
    ),
    Word.LOOKED_INTO: (
        "This account is being looked into. Please ask the staff.",
        "此账户正在核查。请咨询工作人员。",
    ),
    Word.BLOCKED: (
        "Your account cannot be used here now. Please ask the staff.",
        "您的账户暂时无法使用。请咨询工作人员。",
    ),
    Word.SHOW_PASS: ("Hold your pass before the camera.", "请将乘车码对准镜头。"),
    Word.PASS_UNREADABLE: (
        "This pass cannot be read. Hold it still, or use another ticket.",
        "无法读取此乘车码。请拿稳，或使用其他车票。",
    ),
    Word.PASS_EXPIRED: (
        "This pass has expired. Please open it again, or ask the staff.",
        "此乘车码已过期。请重新打开，或咨询工作人员。",
    ),
    Word.PASS_WITHDRAWN: (
        "This pass is no longer valid. Please ask the staff.",
        "此乘车码已失效。请咨询工作人员。",
    ),
    Word.PASS_OTHER_FACE: (
        "This pass belongs to another face. Please ask the staff.",
        "此乘车码与面部不符。请咨询工作人员。",
    ),
    Word.PASS_WITH_FACE: (
        "Now look at the camera, with your pass still in view.",
        "请看镜头，并继续出示乘车码。",
    ),
    Word.ENTER_DIGITS: (
        "Enter the last four digits of your phone number, or show your pass.",
        "请输入手机号后四位，或出示乘车码。",
    ),
    Word.DIGITS_WRONG: (
        "These digits do not fit. Please try again, or show your pass.",
        "数字不符。请重试，或出示乘车码。",
    ),
    Word.CLEAR: ("Clear", "清除"),
    Word.CANCEL: ("Cancel", "取消"),
    Word.FARE: ("Fare", "票价"),
    Word.BALANCE: ("Balance", "余额"),
    Word.CHARGED_LATER: (
        "The fare follows when the gate is connected again.",
        "恢复网络后结算票价。",
    ),
    Word.DOOR_FAULT: (
        "The door does not answer. Please ask the staff to let you through.",
        "闸门无响应。请工作人员放行。",
    ),
    Word.DOOR_HELD: ("Please do not stand in the doorway.", "请勿停留在闸门处。"),
    Word.DOOR_FORCED: (
        "The door was opened without a ride. Please ask the staff.",
        "闸门被强行打开。请联系工作人员。",
    ),
    Word.CAMERA_FAULT: (
        "The camera gives no picture. Please use another gate.",
        "镜头无画面。请使用其他闸机。",
    ),
    Word.RECORD_FAULT: (
        "This gate cannot record rides now. Please use another gate.",
        "本闸机暂时无法记录行程。请使用其他闸机。",
    ),
    Word.OFFLINE: (
        "No connection: rides are kept here and charged later.",
        "无网络：行程先在本机保存，稍后扣费。",
    ),
    Word.GATE_SILENT: (
        "This gate is not running. Please use another gate.",
        "本闸机未运行。请使用其他闸机。",
    ),
    Word.RELEASED: ("The staff let you through.", "工作人员已放行。"),
}

_ADVICE_IN_CHINESE: dict[Reason, str] = {
    Reason.FACE_TOO_SMALL: "请靠近一些。",
    Reason.CROPPED: "请站到画面中间。",
    Reason.NOT_SHARP: "请保持不动，画面模糊。",
    Reason.TOO_DARK: "光线太暗，请面向光源。",
    Reason.TOO_BRIGHT: "光线太强，请避开强光。",
    Reason.TURNED: "请正对镜头。",
    Reason.TILTED_UP_OR_DOWN: "请勿抬头或低头。",
    Reason.TILTED_SIDEWAYS: "请勿歪头。",
    Reason.EYES_CLOSED: "请睁开眼睛。",
    Reason.MOUTH_COVERED: "请摘下口罩，或露出嘴部。",
}
"""The English of these is ``models.faces.quality``'s, which the enrollment desk shares."""


@dataclass(frozen=True, slots=True)
class Said:
    """One text in both languages. ``code`` is ``"other"`` for a text of the server."""

    code: str
    english: str
    chinese: str


NOTHING = Said("", "", "")

_SAID: dict[str, Said] = {
    **{str(word): Said(word, *texts) for word, texts in _TEXTS.items()},
    **{
        str(reason): Said(reason, ADVICE[reason], chinese)
        for reason, chinese in _ADVICE_IN_CHINESE.items()
    },
}
_BY_ENGLISH: dict[str, Said] = {said.english: said for said in reversed(_SAID.values())}


def both(text: str) -> Said:
    """The texts of a code. Any other text is looked up as English, and stands as it is."""
    if not text:
        return NOTHING
    return _SAID.get(text) or _BY_ENGLISH.get(text) or Said("other", text, text)


def is_code(text: str) -> bool:
    """Whether the text is one of the codes."""
    return text in _SAID


def in_english(text: str) -> str:
    """The English sentence of a code; any other text as it is."""
    return both(text).english


def in_chinese(text: str) -> str:
    """The Chinese sentence of a code; any other text as it is."""
    return both(text).chinese


def catalogue() -> dict[str, dict[str, str]]:
    """Code -> language -> text, as the kiosk page reads it."""
    return {code: {"en": said.english, "zh": said.chinese} for code, said in _SAID.items()}
