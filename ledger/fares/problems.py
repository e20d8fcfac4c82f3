"""What is wrong with a feed, collected as records and shown all at once.

fare_products.txt line 4, amount "2.405": expected at most 2 decimals, as USD has
"""

from __future__ import annotations

from dataclasses import dataclass

from models.errors import FacefareError

SHOWN_MAX = 50  # a feed with the wrong separator has one problem per line


class FareError(FacefareError):
    """Base of what can go wrong while importing fares or pricing with them."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong; ``line`` 0 means the whole file, ``field`` empty means the whole line."""

    file: str
    line: int
    field: str
    value: str
    expected: str

    def __str__(self) -> str:
        place = self.file + (f" line {self.line}" if self.line else "")
        cell = f', {self.field} "{self.value}"' if self.field else ""
        return f"{place}{cell}: expected {self.expected}"


class FeedRefused(FareError):
    """A feed that was not imported; ``problems`` says every reason. The active feed stays."""

    def __init__(self, name: str, problems: tuple[Problem, ...]) -> None:
        self.problems = problems
        lines = [f"  {problem}" for problem in problems[:SHOWN_MAX]]
        if len(problems) > SHOWN_MAX:
            lines.append(f"  and {len(problems) - SHOWN_MAX} more of the same kind")
        count = "1 problem" if len(problems) == 1 else f"{len(problems)} problems"
        super().__init__(
            f"The feed {name} was refused for {count}; correct them and import it again:\n"
            + "\n".join(lines)
        )


class Problems:
    """The problems found so far: errors refuse the feed, warnings are only told."""

    def __init__(self) -> None:
        self.errors: list[Problem] = []
        self.warnings: list[Problem] = []

    def error(self, file: str, line: int, field: str, value: str, expected: str) -> None:
        """Record something that refuses the feed."""
        self.errors.append(Problem(file, line, field, value, expected))

    def warn(self, file: str, line: int, field: str, value: str, expected: str) -> None:
        """Record something the operator should know but the feed survives."""
        self.warnings.append(Problem(file, line, field, value, expected))

    def refuse_if_any(self, name: str) -> None:
        """Raise ``FeedRefused`` with every error, if there is one."""
        if self.errors:
            raise FeedRefused(name, tuple(self.errors))
