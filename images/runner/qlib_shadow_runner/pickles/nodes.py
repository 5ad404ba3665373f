"""What a pickle describes: plain values, and notes of what was to be made of them by which name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping


class Unrecognised(Exception):  # noqa: N818 - it is a finding
    """The pickle is none, or describes something that has no place here."""


class Named:
    """A class or function that the pickle names; it was not looked for."""

    __slots__ = ("path",)

    def __init__(self, path: str) -> None:
        self.path = path


class Pairs(list[tuple[Any, Any]]):
    """The pairs of a dictionary; they are not hashed, since nested tuples take for ever to hash."""

    __slots__ = ()

    def by_text(self) -> dict[str, Any]:
        """Return the values whose keys are texts."""
        return {key: value for key, value in self if type(key) is str}


class Made:
    """What was to be made: by what, of which arguments, and what was to be put into it."""

    __slots__ = ("arguments", "items", "known", "maker", "named", "pairs", "state")

    def __init__(self, maker: object, arguments: Any, named: object = None) -> None:
        self.maker = maker
        self.arguments = arguments
        self.named = named
        self.state: Any = None
        self.items: list[object] | None = None
        self.pairs: Pairs | None = None
        self.known: str | None = None
        """What was already found out of it: one type is that of thousands of numbers."""


BITS: Final = 64
KINDS: Final[Mapping[type, str]] = {
    type(None): "nothing",
    Pairs: "a dictionary",
    str: "a text",
    int: "a whole number",
    float: "a number",
}


def is_named(node: object, paths: Collection[str]) -> bool:
    """Return whether this is a class or function of one of these full names."""
    return type(node) is Named and node.path in paths


def is_made_by(node: object, paths: Collection[str]) -> bool:
    """Return whether this was to be made by one of these full names."""
    return type(node) is Made and is_named(node.maker, paths)


def arguments_of(node: object, paths: Collection[str], count: int) -> tuple[Any, ...]:
    """Return the first arguments of something that was to be made by one of these names."""
    if type(node) is not Made or not is_named(node.maker, paths):
        raise Unrecognised(f"it holds {described(node)}, where {_short(paths)} was expected")
    found = node.arguments
    if type(found) is not tuple or len(found) < count:
        raise Unrecognised(f"{_short(paths)} lacks an argument")
    return found


def state_of(node: object) -> dict[str, Any]:
    """Return the attributes of an object by name."""
    state = node.state if type(node) is Made else None
    if type(state) is not Pairs:
        raise Unrecognised(f"it holds {described(node)}, where an object with attributes was expected")
    return state.by_text()


def whole(node: object) -> int:
    """Return a whole number of 64 bits: larger ones take long to divide."""
    if type(node) is not int or node.bit_length() > BITS:
        raise Unrecognised(f"it holds {described(node)}, where a smaller whole number was expected")
    return node


def described(node: object) -> str:
    """Return what a node is, in a few words."""
    if type(node) is Made:
        return f"something made by {described(node.maker)}"
    if type(node) is Named:
        return node.path[:100]
    return KINDS.get(type(node), f"a {type(node).__name__}")


def _short(paths: Collection[str]) -> str:
    return min(paths).rpartition(".")[2]
