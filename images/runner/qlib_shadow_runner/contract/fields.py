"""A table of fields: a class whose attributes are the fields of one object of the manifest.

Each attribute says once what its field is: `topk: int | None = optional(Whole(1, 10_000), "How many.")`.
The schema of the CRD, the reading of a manifest, the operator's reading and the reference are made from that.
"""

# A kind returns what `refuse` returns.
# mypy: disable-error-code="func-returns-value"
from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from enum import Flag as Flags
from enum import auto
from typing import TYPE_CHECKING, Any, ClassVar, Final, TypeVar

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import Kind, Place, shown

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")
R = TypeVar("R", bound="Record")


class Reader(Flags):
    """Who acts on a field."""

    RUNNER = auto()
    OPERATOR = auto()
    BOTH = RUNNER | OPERATOR


@dataclass(frozen=True)
class Rule:
    """What must hold between fields of one object; the sentence goes on after the object's place."""

    must: str
    holds: Callable[[Mapping[str, Any]], object]
    """Of the values that are given, by the manifest's names."""
    cel: str = ""
    """Says the same to the API server; without it, only the runner checks it."""
    of: tuple[str, ...] = ()
    """Fields whose values are compared: the rule is asked only where all are given and right."""
    reason: Reason = Reason.INVALID_SPEC


@dataclass(frozen=True)
class Record:
    """One object of the manifest, as read; None, or its default, where a field is left out."""

    RULES: ClassVar[tuple[Rule, ...]] = ()
    LACK: ClassVar[str] = ""
    """What to do where required fields are missing; by itself the first one's description."""
    VERBATIM: ClassVar[bool] = False
    """Whether the manifest spells the fields as Python does, and not in camelCase."""
    given: frozenset[str] = field(default=frozenset(), compare=False, repr=False, kw_only=True)
    """The attributes that the manifest sets."""

    def values(self) -> dict[str, Any]:
        """Return every field's value, by the attributes' names."""
        return {one.name: getattr(self, one.name) for one in fields_of(type(self))}


@dataclass(frozen=True)
class Field:
    """What the table says of one field."""

    name: str
    key: str
    """The name in the manifest."""
    kind: Kind[Any]
    about: str
    reader: Reader
    frozen: bool
    """Whether it stays what it is once the run has started."""
    required: bool
    default: object

    @property
    def description(self) -> str:
        """Return what it means, with its default."""
        default = self.default
        told = (
            default is None
            or default is False
            or default == ()
            or isinstance(default, Record)
            or "Default:" in self.about
        )
        plain = int(default) if isinstance(default, float) and default.is_integer() else default
        return self.about if told else f"{self.about} Default: {plain}."


TABLES: Final[dict[type[Record], tuple[Field, ...]]] = {}
"""What is known of each class by now."""


class Object(Kind[R]):
    """An object with the fields of a class."""

    json = (dict,)

    def __init__(self, cls: type[R]) -> None:
        self.cls = cls

    def read(self, value: object, place: Place) -> R | None:
        """Return an instance of the class."""
        found = read_values(self.cls, value, place)
        if found is None:
            return None
        values = {one.name: found[one.key] for one in fields_of(self.cls) if one.key in found}
        return self.cls(**values, given=frozenset(values))


class Given(Kind[Mapping[str, Any]]):
    """An object with the fields of a class, of which only what is given matters."""

    json = (dict,)

    def __init__(self, cls: type[Record]) -> None:
        self.cls = cls

    def read(self, value: object, place: Place) -> Mapping[str, Any] | None:
        """Return what is given, by the names in the manifest."""
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
    """Describe a field that has a default."""
    said = {"kind": kind, "about": about, "reader": reader, "frozen": frozen, "key": key}
    if isinstance(default, Mapping):
        return field(default_factory=lambda: default, metadata=said)
    return field(default=default, metadata=said)


def optional(
    kind: Kind[T], about: str, *, reader: Reader = Reader.RUNNER, frozen: bool = True, key: str = ""
) -> T | None:
    """Describe a field that may be left out."""
    return defaulted(kind, about, None, reader=reader, frozen=frozen, key=key)


def required(kind: Kind[T], about: str) -> T:
    """Describe a field without which its object is none."""
    return field(metadata={"kind": kind, "about": about, "reader": Reader.RUNNER, "frozen": True, "key": ""})  # type: ignore[no-any-return]


def part(cls: type[R], about: str, *, reader: Reader = Reader.RUNNER, key: str = "") -> R:
    """Describe a field that is an object of its own, all of whose fields may be left out."""
    return defaulted(Object(cls), about, cls(), reader=reader, key=key)


def fields_of(cls: type[Record]) -> tuple[Field, ...]:
    """Return the table: what a class says of each field, in its order."""
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
    """Return the manifest's spelling of an attribute's name."""
    head, *rest = name.split("_")
    return head + "".join(word.capitalize() for word in rest)


def read_values(cls: type[Record], value: object, place: Place) -> dict[str, Any] | None:
    """Return every field that is given, by the manifest's names; None after any fault was noted."""
    if not isinstance(value, Mapping):
        return place.refuse(f"must be a mapping of fields, not {shown(value)}")
    before = len(place.faults)
    table = {one.key: one for one in fields_of(cls)}
    unknown = [str(key) for key in value if key not in table]
    for key in unknown:
        place.refuse(f'has no field "{key}"', word=key, among=tuple(table))
    values = {
        key: one.kind.read(value[key], place.inside(f".{key}"))
        for key, one in table.items()
        if value.get(key) is not None
    }
    if not unknown:  # a misspelt field is the one that seems to be missing
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
            place.refuse(rule.must, reason=rule.reason)


def excludes(key: str, *others: str, must: str) -> Rule:
    """Refuse some fields beside another one."""
    cel = f"!has(self.{key}) || ({' && '.join(f'!has(self.{one})' for one in others)})"
    return Rule(must, lambda values: key not in values or not values.keys() & set(others), cel)


def exactly_one(*keys: str, must: str) -> Rule:
    """Refuse none, and more than one, of some fields."""
    cel = f"[{', '.join(f'has(self.{one})' for one in keys)}].filter(one, one).size() == 1"
    return Rule(must, lambda values: len(values.keys() & set(keys)) == 1, cel)


def needs(key: str, other: str, must: str) -> Rule:
    """Refuse a field without another one."""
    cel = f"!has(self.{key}) || has(self.{other})"
    return Rule(must, lambda values: key not in values or other in values, cel)


def between(*keys: str, must: str, holds: Callable[..., object], cel: str, **more: Any) -> Rule:
    """Refuse values that do not go together, where all of them are given."""
    absent = "".join(f"!has(self.{one}) || " for one in keys)
    return Rule(must, lambda values: holds(*(values[one] for one in keys)), f"{absent}({cel})", keys, **more)
