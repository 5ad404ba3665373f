"""The kinds of values that a field can have; each kind reads a value or reports what is wrong with it.

A kind holds what the JSON schema needs (bounds, choices, rules in CEL) and checks the same in Python.
"""

# Place.refuse returns None, and the read methods return its result.
# mypy: disable-error-code="func-returns-value"
from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from typing import TYPE_CHECKING, ClassVar, Final, Generic, TypeVar

from qlib_shadow_runner.contract import Reason

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from qlib_shadow_runner.contract.place import Place

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)
S = TypeVar("S", bound=str)
DAY: Final = r"\d{4}-\d{2}-\d{2}"
SPAN: Final = (
    "must be [first day, last day], the first not after the last, for example [2019-01-02, 2022-12-30], or "
    "with null for an end that is left open"
)
SHOWN: Final = 60
WRITTEN: Final = 120
"""Characters of a value, and of a word, in a sentence."""
FIRST_DAY: Final = date(1900, 1, 1)
LAST_DAY: Final = date(2099, 12, 31)
"""The days that prices, calendars and segments may have."""


class Kind(Generic[T_co]):
    """A kind of value."""

    json: ClassVar[tuple[type, ...]] = (str,)
    """The Python types to which JSON decodes a value of this kind."""

    def read(self, value: object, place: Place) -> T_co | None:
        """Return the value as a Python object; None where a fault was recorded."""
        raise NotImplementedError


@dataclass(frozen=True)
class TextCheck:
    """A condition on a text besides its length; without a rule in CEL, only the runner checks it."""

    must: str
    holds: Callable[[str], object]
    cel: str = ""
    like: str = ""
    """A regular expression that the text has, for the schema of the chart's values."""
    unlike: str = ""
    """One that it does not have."""


def matches(pattern: str, must: str) -> TextCheck:
    """Return the check that the whole text matches a pattern, which RE2 and Python must read alike."""
    whole = f"^{pattern}$"
    return TextCheck(must, lambda value: re.fullmatch(pattern, value), f"self.matches('{whole}')", whole)


@dataclass(frozen=True)
class Text(Kind[str]):
    """A text of bounded length."""

    most: int
    checks: tuple[TextCheck, ...] = ()
    least: int = 1
    words: str = "a non-empty string"
    """The description of a valid text, for a value that is not one."""
    secret: bool = False
    """Whether error sentences must not repeat the text."""
    clean: Callable[[str], str] = str

    def read(self, value: object, place: Place) -> str | None:
        """Return the text in its normal spelling."""
        if not isinstance(value, str) or len(value.strip()) < self.least:
            return place.refuse(f"must be {self.words}, not {shown(value)}")
        named = "" if self.secret else f"{quoted(value)} "
        if len(value) > self.most:
            return place.refuse(f"{named}has {len(value)} characters; at most {self.most} are allowed")
        for check in self.checks:
            if not check.holds(value):
                return place.refuse(named + check.must)
        return self.clean(value)


class _Plain(Kind[T]):
    """A kind that one predicate checks."""

    words: str
    among: tuple[str, ...] = ()

    def fits(self, value: object) -> bool:
        """Return whether a value is of this kind."""
        raise NotImplementedError

    def made(self, value: T) -> T:
        """Return the value as a Python object."""
        return value

    def read(self, value: object, place: Place) -> T | None:
        """Return the value; None where it is not of this kind."""
        if self.fits(value):
            return self.made(value)  # type: ignore[arg-type]
        what = f"must be {self.words}, not {shown(value)}"
        word = value if isinstance(value, str) else ""
        return place.refuse(what, word=word, among=self.among, listed=True)


@dataclass(frozen=True)
class Whole(_Plain[int]):
    """A whole number within a range."""

    low: int
    high: int
    json = (int,)

    @property
    def words(self) -> str:  # type: ignore[override]
        """Return the description for the middle of a sentence."""
        return f"a whole number from {self.low:,} to {self.high:,}"

    def fits(self, value: object) -> bool:
        """Return whether a value is a whole number in the range; true does not count as 1."""
        return isinstance(value, int) and not isinstance(value, bool) and self.low <= value <= self.high


LARGE: Final = 1_000_000


def _in_digits(value: float) -> str:
    """Return a limit as people write it: a large one with commas, without an exponent."""
    return f"{value:,.0f}" if abs(value) >= LARGE else f"{value:g}"


@dataclass(frozen=True)
class Number(_Plain[float]):
    """A finite number within a range, read as a float."""

    low: float
    high: float
    json = (int, float)

    @property
    def words(self) -> str:  # type: ignore[override]
        """Return the description for the middle of a sentence."""
        return f"a number from {_in_digits(self.low)} to {_in_digits(self.high)}"

    def fits(self, value: object) -> bool:
        """Say whether a value is one."""
        # Infinite numbers and NaN are in no range.
        good = isinstance(value, int | float) and not isinstance(value, bool)
        return good and self.low <= value <= self.high  # type: ignore[operator]

    def made(self, value: float) -> float:
        """Return a float."""
        return float(value)


class Flag(_Plain[bool]):
    """A boolean."""

    json = (bool,)
    words = "true or false"

    def fits(self, value: object) -> bool:
        """Return whether a value is true or false."""
        return isinstance(value, bool)


class Choice(_Plain[S]):
    """One of a few words, from an enumeration or a list of strings."""

    def __init__(self, options: Iterable[S]) -> None:
        self.options = tuple(options)
        self.among = tuple(map(str, self.options))
        self.words = f"one of {', '.join(self.among)}"

    def fits(self, value: object) -> bool:
        """Return whether a value is one of the words."""
        return isinstance(value, str) and value in self.among

    def made(self, value: S) -> S:
        """Return the option that the word names."""
        return self.options[self.among.index(value)]


class Quantity(_Plain[object]):
    """A Kubernetes quantity: a number, or a text such as 4Gi."""

    json = (int, str)
    words = 'a quantity such as "4Gi"'
    pattern = (
        r"(\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))"
        r"(([KMGTPE]i)|[numkMGTPE]|([eE](\+|-)?(([0-9]+(\.[0-9]*)?)|(\.[0-9]+))))?"
    )

    def fits(self, value: object) -> bool:
        """Say whether a value is one."""
        good = isinstance(value, int | float | str) and not isinstance(value, bool)
        return good and re.fullmatch(self.pattern, str(value)) is not None


@dataclass(frozen=True)
class Day(Kind[date]):
    """A day within bounds."""

    first: date = date.min
    last: date = date.max

    def read(self, value: object, place: Place) -> date | None:
        """Return the day."""
        day = _day(value)
        if day is None:
            return place.refuse(f"{quoted(value)} is not a date; write it as 2022-12-30")
        if not self.first <= day <= self.last:
            return place.refuse(self.must)
        return day

    @property
    def must(self) -> str:
        """Return the bounds for a sentence."""
        return f"must lie from {self.first} to {self.last}"


class Span(Kind[tuple[date | None, date | None]]):
    """A period, written as a list of its first and last day; null leaves an end open."""

    json = (list,)
    end = Day(FIRST_DAY, LAST_DAY)

    def read(self, value: object, place: Place) -> tuple[date | None, date | None] | None:
        """Return both ends, None for an open one."""
        if not isinstance(value, list | tuple) or len(value) != 2:  # noqa: PLR2004 - first and last day
            return place.refuse(f"{SPAN}, not {shown(value)}")
        before = len(place.faults)
        first, last = (
            None if end is None else self.end.read(end, place.inside(f"[{number}]"))
            for number, end in enumerate(value)
        )
        if len(place.faults) > before:
            return None
        if first is not None and last is not None and first > last:
            return place.refuse(f"{SPAN}, not [{first}, {last}]", reason=Reason.SEGMENTS_INVALID)
        return first, last


@dataclass(frozen=True)
class ListOf(Kind[tuple[T, ...]]):
    """A list of values of one kind."""

    of: Kind[T]
    most: int
    words: str
    """The description of the values for the middle of a sentence, with an example."""
    json = (list,)

    def read(self, value: object, place: Place) -> tuple[T, ...] | None:
        """Return the valid values."""
        if not isinstance(value, list | tuple) or len(value) > self.most:
            return place.refuse(f"must be a list of at most {self.most} {self.words}, not {shown(value)}")
        found = (self.of.read(one, place.inside(f"[{number}]")) for number, one in enumerate(value))
        return tuple(one for one in found if one is not None)


@dataclass(frozen=True)
class Map(Kind[Mapping[str, T]]):
    """A mapping from the user's own names to values of one kind."""

    of: Kind[T]
    most: int
    names: Text | None = None
    """What a name must be; None is any text."""
    json = (dict,)

    def read(self, value: object, place: Place) -> Mapping[str, T] | None:
        """Return the valid values."""
        if not isinstance(value, Mapping) or len(value) > self.most:
            return place.refuse(f"must be a mapping of at most {self.most} names, not {shown(value)}")
        if self.names:
            for name in value:
                self.names.read(name, place)
        found = {str(name): self.of.read(one, place.inside(f".{name}")) for name, one in value.items()}
        return {name: one for name, one in found.items() if one is not None}


def shown(value: object) -> str:
    """Return a value for a sentence, cut to a readable length."""
    return _cut(repr(value), SHOWN)


def quoted(value: object) -> str:
    """Return a word as it was written, cut too."""
    return f'"{_cut(value, WRITTEN)}"' if isinstance(value, str) else f'"{shown(value)}"'


def _cut(text: str, limit: int) -> str:
    return text if len(text) <= limit else f"{text[: limit - 3]}..."


def _day(value: object) -> date | None:
    try:
        return date.fromisoformat(str(value)) if re.fullmatch(DAY, str(value)) else None
    except ValueError:
        return None


NAME: Final = Text(253)
"""The name of a Kubernetes object."""
