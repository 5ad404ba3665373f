"""The table of fields: each class describes one object of the run manifest, each attribute one field.

An attribute describes its field once: `topk: int | None = optional(Whole(1, 10_000), "How many.")`.
The CRD's schema, the readers of runner and operator, and the reference page are made from it.
"""

# Place.refuse returns None, and the read methods return its result.
# mypy: disable-error-code="func-returns-value"
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Flag as Flags
from enum import auto
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import Kind, quoted, shown

if TYPE_CHECKING:
    from collections.abc import Callable

    from qlib_shadow_runner.contract.place import Place

T = TypeVar("T")
R = TypeVar("R", bound="Record")


class Reader(Flags):
    """The component that acts on a field."""

    RUNNER = auto()
    OPERATOR = auto()
    BOTH = RUNNER | OPERATOR


@dataclass(frozen=True)
class Rule:
    """A condition on several fields of one object."""

    must: str
    """The sentence after the object's place: the condition; then, after a semicolon, the remedy."""
    holds: Callable[[Mapping[str, Any]], object]
    """The condition on the given values, keyed by the manifest's names."""
    cel: str = ""
    """The same condition in CEL for the API server; without it, only the runner checks it."""
    of: tuple[str, ...] = ()
    """The fields that are compared: the rule applies only where all are given and valid."""
    reason: Reason = Reason.INVALID_SPEC


@dataclass(frozen=True)
class Record:
    """One object of the manifest as read; a field that is left out has its default, or None."""

    RULES: ClassVar[tuple[Rule, ...]] = ()
    LACK: ClassVar[str] = ""
    """The remedy where required fields are missing; by default the description of the first one."""
    VERBATIM: ClassVar[bool] = False
    """Whether the manifest spells the fields in snake_case and not in camelCase."""
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False, kw_only=True)
    """The names of the attributes that the manifest sets."""

    def values(self) -> dict[str, Any]:
        """Return every field's value, keyed by attribute name."""
        return {one.name: getattr(self, one.name) for one in fields_of(type(self))}


@dataclass(frozen=True)
class Field:
    """The description of one field."""

    name: str
    key: str
    """The field's name in the manifest."""
    kind: Kind[Any]
    about: str
    reader: Reader
    frozen: bool
    """Whether it cannot be changed once the run has started."""
    required: bool
    default: object

    @property
    def description(self) -> str:
        """Return the field's meaning with its default."""
        default = self.default
        complete = (
            default is None
            or default is False
            or default == ()
            or isinstance(default, Record)
            or "Default:" in self.about
        )
        plain = int(default) if isinstance(default, float) and default.is_integer() else default
        return self.about if complete else f"{self.about} Default: {plain}."


TABLES: Final[dict[type[Record], tuple[Field, ...]]] = {}
"""The fields of each class, filled on first use."""


class Object(Kind[R]):
    """An object that is read into an instance of its class."""

    json = (dict,)

    def __init__(self, cls: type[R]) -> None:
        self.cls = cls

    def read(self, value: object, place: Place) -> R | None:
        """Return an instance of the class; None where the value is invalid."""
        found = read_values(self.cls, value, place)
        if found is None:
            return None
        values = {one.name: found[one.key] for one in fields_of(self.cls) if one.key in found}
        return self.cls(**values, given=frozenset(values))


class Given(Kind[Mapping[str, Any]]):
    """An object that is read into a mapping of the fields that are given."""

    json = (dict,)

    def __init__(self, cls: type[Record]) -> None:
        self.cls = cls

    def read(self, value: object, place: Place) -> Mapping[str, Any] | None:
        """Return the given values, keyed by the manifest's names."""
        return read_values(self.cls, value, place)


def defaulted(
    kind: Kind[T],
    about: str,
    default: T,
    *,
    reader: Reader = Reader.RUNNER,
    frozen: bool = True,
    key: str = "",
) -> T:
    """Return a field with a default."""
    metadata = {"kind": kind, "about": about, "reader": reader, "frozen": frozen, "key": key}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=metadata)
    return field(default=default, metadata=metadata)


def optional(
    kind: Kind[T], about: str, *, reader: Reader = Reader.RUNNER, frozen: bool = True, key: str = ""
) -> T | None:
    """Return a field that may be left out and is then None."""
    return defaulted(kind, about, None, reader=reader, frozen=frozen, key=key)


def required(kind: Kind[T], about: str) -> T:
    """Return a field that must be given."""
    return field(metadata={"kind": kind, "about": about, "reader": Reader.RUNNER, "frozen": True, "key": ""})  # type: ignore[no-any-return]


def part(cls: type[R], about: str, *, reader: Reader = Reader.RUNNER, key: str = "") -> R:
    """Return a field that is an object in which every field may be left out."""
    return defaulted(Object(cls), about, cls(), reader=reader, key=key)


def fields_of(cls: type[Record]) -> tuple[Field, ...]:
    """Return the descriptions of a class's fields, in their order."""
    if cls not in TABLES:
        TABLES[cls] = tuple(
            Field(
                name=one.name,
                key=one.metadata["key"] or (one.name if cls.VERBATIM else camel(one.name)),
                kind=one.metadata["kind"],
                about=one.metadata["about"],
                reader=one.metadata["reader"],
                frozen=one.metadata["frozen"],
                required=one.default is MISSING and one.default_factory is MISSING,
                default=None if one.default is MISSING else one.default,
            )
            for one in fields(cls)
            if "kind" in one.metadata
        )
    return TABLES[cls]


def camel(name: str) -> str:
    """Return the camelCase spelling of an attribute's name."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def read_values(cls: type[Record], value: object, place: Place) -> dict[str, Any] | None:
    """Return the given values, keyed by the manifest's names; None where any fault was found."""
    if not isinstance(value, Mapping):
        return place.refuse(f"must be a mapping of fields, not {shown(value)}")
    before = len(place.faults)
    table = {one.key: one for one in fields_of(cls)}
    unknown = [str(key) for key in value if key not in table]
    for key in unknown:
        place.refuse(f"has no field {quoted(key)}", word=key, among=tuple(table))
    values = {
        key: one.kind.read(value[key], place.inside(f".{key}"))
        for key, one in table.items()
        if value.get(key) is not None
    }
    if not unknown:  # a misspelt field would also be reported as missing
        _check_whole(cls, values, place)
    return values if len(place.faults) == before else None


def _check_whole(cls: type[Record], values: Mapping[str, Any], place: Place) -> None:
    missing = [one for one in fields_of(cls) if one.required and one.key not in values]
    if missing:
        about = missing[0].about
        keys = ", ".join(one.key for one in missing)
        place.refuse(f"lacks {keys}: {cls.LACK or about[0].lower() + about[1:].rstrip('.')}")
    for rule in cls.RULES:
        known = all(values.get(name) is not None for name in rule.of)
        if known and not rule.holds(values):
            place.refuse(_with_values(rule, values), reason=rule.reason)


def _with_values(rule: Rule, values: Mapping[str, Any]) -> str:
    """Return a rule's sentence with the plain values that break it, before its remedy."""
    plain = {name: values[name] for name in rule.of if isinstance(values[name], str | int | float)}
    condition, semicolon, remedy = rule.must.partition(";")
    seen = ", ".join(f"{name} is {value}" for name, value in plain.items())
    return f"{condition} ({seen}){semicolon}{remedy}" if seen else rule.must


def excludes(key: str, *others: str, must: str) -> Rule:
    """Return the rule that these fields cannot be given together with `key`."""
    cel = f"!has(self.{key}) || ({' && '.join(f'!has(self.{one})' for one in others)})"
    return Rule(must, lambda values: key not in values or not values.keys() & set(others), cel)


def exactly_one(*keys: str, must: str) -> Rule:
    """Return the rule that exactly one of these fields is given."""
    cel = f"[{', '.join(f'has(self.{one})' for one in keys)}].filter(one, one).size() == 1"
    return Rule(must, lambda values: len(values.keys() & set(keys)) == 1, cel)


def needs(key: str, other: str, must: str) -> Rule:
    """Return the rule that `key` requires `other`."""
    cel = f"!has(self.{key}) || has(self.{other})"
    return Rule(must, lambda values: key not in values or other in values, cel)


def between(*keys: str, must: str, holds: Callable[..., object], cel: str, **more: Any) -> Rule:
    """Return the rule that compares the values of these fields where all are given."""
    absent = "".join(f"!has(self.{one}) || " for one in keys)
    return Rule(must, lambda values: holds(*(values[one] for one in keys)), f"{absent}({cel})", keys, **more)
