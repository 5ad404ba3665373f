"""All faults of a spec, although its parser stops at the first.

What that one is about is left out, and the parser is asked again.
"""

from __future__ import annotations

import copy
import re
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec

if TYPE_CHECKING:
    from collections.abc import Mapping

FieldPath = tuple[str, ...]
MOST: Final = 50
NAMED: Final = re.compile(r"\bspec((?:\.\w+)*)")
UNKNOWN: Final = re.compile(r' has no field "([^"]*)"')


def spec_faults(spec: Mapping[str, object]) -> list[StageError]:
    """Give every fault that the parser finds, in its order."""
    rest: dict[str, object] = copy.deepcopy(dict(spec))
    found: list[StageError] = []
    gone: list[FieldPath] = []
    while (fault := _first_fault(rest)) is not None and len(gone) < MOST:
        place = _place_of(fault, rest)
        if not _is_consequence_of(gone, place, fault):
            found.append(fault)
        if not place:
            break
        _remove(rest, place)
        gone.append(place)
    return found


def _first_fault(spec: Mapping[str, object]) -> StageError | None:
    try:
        parse_spec(spec)
    except StageError as fault:
        return fault
    return None


def _place_of(fault: StageError, spec: dict[str, object]) -> FieldPath:
    """Find the smallest part, around what the sentence names, without which there is another sentence."""
    named = NAMED.search(fault.message)
    words = named[1].split(".")[1:] if named else []
    unknown = UNKNOWN.search(fault.message)
    place = _existing([*words, unknown[1]] if unknown else words, spec)
    while place:
        if _depends_on(place, fault, spec):
            return place
        place = place[:-1]
    return next(((key,) for key in spec if _depends_on((key,), fault, spec)), ())


def _existing(words: list[str], spec: Mapping[str, object]) -> FieldPath:
    place: list[str] = []
    here: object = spec
    for word in words:
        if not isinstance(here, dict) or word not in here:
            break
        place.append(word)
        here = here[word]
    return tuple(place)


def _depends_on(place: FieldPath, fault: StageError, spec: Mapping[str, object]) -> bool:
    rest = copy.deepcopy(dict(spec))
    _remove(rest, place)
    other = _first_fault(rest)
    return other is None or other.message != fault.message


def _remove(spec: dict[str, object], place: FieldPath) -> None:
    here = spec
    for word in place[:-1]:
        inside = here[word]
        assert isinstance(inside, dict), "the place was found by walking there"
        here = inside
    del here[place[-1]]


def _is_consequence_of(gone: list[FieldPath], place: FieldPath, fault: StageError) -> bool:
    """Tell a fault of the manifest from one that leaving something out has made."""
    return not UNKNOWN.search(fault.message) and any(other[: len(place)] == place for other in gone)
