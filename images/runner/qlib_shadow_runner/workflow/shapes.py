"""What a value in a workflow may be: small shapes, which `vetting` puts together to a whole workflow.

A shape refuses a value with its place and what may stand there; what no shape names is refused.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from typing import TYPE_CHECKING, Final, Protocol

from qlib_shadow_runner.contract.kinds import Number, Whole
from qlib_shadow_runner.discovery.reach import Reach
from qlib_shadow_runner.engine.expressions import SHIFTS, ExpressionError, Node, read
from qlib_shadow_runner.texts import did_you_mean
from qlib_shadow_runner.workflow.class_paths import ClassPath, advice_for
from qlib_shadow_runner.workflow.read_yaml import refuse

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

SHOWN: Final = 60


class Shape(Protocol):
    """What a value may be."""

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""

    def check(self, value: object, where: str) -> None:
        """Refuse a value that does not fit."""


@dataclass(frozen=True)
class Plain:
    """A value without parts."""

    words: str
    fits: Callable[[object], bool]

    def check(self, value: object, where: str) -> None:
        """Refuse a value that the predicate does not accept."""
        if not self.fits(value):
            refuse(f"{where} is {shown(value)}; it must be {self.words}")


@dataclass(frozen=True)
class Listed:
    """A list of values of one shape."""

    of: Shape
    least: int = 0
    most: int = 10_000

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return f"a list, each {self.of.words}"

    def check(self, value: object, where: str) -> None:
        """Refuse a list of another length, or a value in it that does not fit."""
        if not isinstance(value, list) or not self.least <= len(value) <= self.most:
            refuse(f"{where} is {shown(value)}; it must be a list of {self.least} to {self.most:,}")
        for number, one in enumerate(value):
            self.of.check(one, f"{where}[{number}]")


@dataclass(frozen=True)
class Keys:
    """A mapping of known keys."""

    fields: Mapping[str, Shape] = field(default_factory=dict)
    needs: frozenset[str] = frozenset()

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return f"a mapping of {', '.join(self.fields)}" if self.fields else "an empty mapping"

    def check(self, value: object, where: str) -> None:
        """Refuse unknown keys first, because Qlib may know them; then missing ones, then values."""
        if not isinstance(value, dict):
            refuse(f"{where} is {shown(value)}; it must be {self.words}")
        for key in value:
            if not isinstance(key, str) or key not in self.fields:
                hint = did_you_mean(str(key), self.fields) if self.fields else "nothing is allowed here"
                refuse(f'{where} has "{key}", which a shadow run does not take; {hint}')
        for key in sorted(self.needs - value.keys()):
            refuse(f"{where} lacks {key}: {self.fields[key].words}")
        for key, one in value.items():
            self.fields[key].check(one, f"{where}.{key}")


@dataclass(frozen=True)
class Named:
    """An object of one of a few classes; Qlib imports and calls any class that is named."""

    what: str
    classes: Mapping[ClassPath, Keys]
    default_module: str | None = None
    """Where Qlib looks for a class without a module."""

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return f"one of the {self.what}: " + ", ".join(name for _, name in self.classes)

    def check(self, value: object, where: str) -> None:
        """Refuse a class that is not listed, or arguments that do not fit it."""
        if not isinstance(value, dict) or "class" not in value:
            refuse(f"{where} is {shown(value)}; it must be a mapping with class, module_path and kwargs")
        named = self.resolve(value)
        if named not in self.classes:
            refuse(f"{where} names {named[0]}.{named[1]}, {advice_for(named) or self._not_listed()}")
        takes = self.classes[named]
        needs = frozenset({"kwargs"} if takes.needs else ())
        Keys({"class": TEXT, "module_path": TEXT, "kwargs": takes}, needs).check(value, where)

    def _not_listed(self) -> str:
        listed = ", ".join(".".join(known) for known in self.classes)
        return f"which is not among the classes that a shadow run may use there: {listed}"

    def resolve(self, value: Mapping[str, object]) -> ClassPath:
        """Return the class path, as Qlib reads it."""
        return class_path_of(value, self.default_module)


def class_path_of(value: Mapping[str, object], default_module: str | None = None) -> ClassPath:
    """Return the module and class that are named; dots in `class` beat `module_path`."""
    module, dot, name = str(value.get("class")).rpartition(".")
    return (module if dot else str(value.get("module_path", default_module)), name)


def shown(value: object) -> str:
    """Return a value as a sentence shows it."""
    text = "nothing" if value is None else str(value) if isinstance(value, date) else repr(value)
    return text if len(text) <= SHOWN else text[: SHOWN - 1] + "…"


def number(low: float, high: float) -> Plain:
    """Return the shape of a finite number within a range."""
    kind = Number(low, high)
    return Plain(kind.words, kind.fits)


def whole(low: int, high: int) -> Plain:
    """Return the shape of a whole number within a range."""
    kind = Whole(low, high)
    return Plain(kind.words, kind.fits)


def exactly(*values: object) -> Plain:
    """Return the shape of one of a few values; true is not 1."""
    words = " or ".join("null" if value is None else str(value).lower() for value in values)
    if all(isinstance(value, str) for value in values):
        words = " or ".join(f'"{value}"' for value in values)
    return Plain(words, lambda value: any(value == one and type(value) is type(one) for one in values))


def either(one: Shape, other: Plain) -> Plain:
    """Return the shape of what fits one of two."""
    assert isinstance(one, Plain), "both are plain"
    return Plain(f"{one.words}, or {other.words}", lambda value: one.fits(value) or other.fits(value))


def _is_day(value: object) -> bool:
    if type(value) is date:
        return True
    try:
        return isinstance(value, str) and str(date.fromisoformat(value)) == value
    except ValueError:
        return False


TEXT: Final = Plain("a word", lambda value: isinstance(value, str))
BOOLEAN: Final = exactly(True, False)  # noqa: FBT003 - the values themselves
DAY: Final = Plain("a day such as 2022-12-30", _is_day)
WORD: Final = Plain(
    "a word of letters, digits and _",
    lambda value: isinstance(value, str) and value.isascii() and value.isidentifier() and len(value) <= SHOWN,
)


@dataclass(frozen=True)
class Expression:
    """One of Qlib's expressions; a feature may not look ahead, a label may."""

    may_look_ahead: bool

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return "an expression" if self.may_look_ahead else "an expression that does not look ahead"

    def check(self, value: object, where: str) -> None:
        """Refuse what is not an expression, or what looks ahead where it may not."""
        if not isinstance(value, str):
            refuse(f"{where} is {shown(value)}; it must be an expression such as Mean($close, 5)/$close")
        try:
            ahead = reach_of(value).ahead
        except ExpressionError as error:
            refuse(f"{where} is {shown(value)}; it {error}")
        if ahead and not self.may_look_ahead:
            refuse(
                f"{where} is {shown(value)}; it looks {ahead} days ahead, and a feature that knows "
                "the future makes figures that mean nothing"
            )


def reach_of(expression: str) -> Reach:
    """Return how many days an expression looks back and ahead."""
    return _reach(read(expression))


def _reach(node: Node) -> Reach:
    inner = Reach.widest(map(_reach, node.operands))
    before = node.days if node.operator in SHIFTS else node.days - 1  # a window has its own day in it
    return Reach(inner.back + max(before, 0), inner.ahead + max(-node.days, 0))


@dataclass(frozen=True)
class Fields:
    """Expressions, bare or with their names: [expr, …] or [[expr, …], [name, …]]."""

    of: Expression
    most: int = 1_000

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return f"a list, each {self.of.words}, or two lists, of expressions and of their names"

    def check(self, value: object, where: str) -> None:
        """Refuse expressions that do not fit, and names that are not one for each."""
        expressions = expressions_in(value)
        Listed(self.of, 1, self.most).check(expressions, where)
        if expressions is not value:
            assert isinstance(value, list), "it was taken apart"
            names = value[1]
            Listed(WORD, len(expressions), len(expressions)).check(names, f"{where}[1]")
            if len(set(names)) != len(names):
                refuse(f"{where}[1] names two expressions alike")


def expressions_in(value: object) -> list[object]:
    """Return the expressions of either form; any other value is returned as it is."""
    if isinstance(value, list) and len(value) == 2 and all(isinstance(part, list) for part in value):  # noqa: PLR2004
        return list(value[0])
    return value  # type: ignore[return-value]
