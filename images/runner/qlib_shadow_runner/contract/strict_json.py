"""Parse JSON that people and other programs write: what is not plain JSON is refused in a few words.

Python's parser takes NaN, a key that is there twice and infinite floats, and fails in other ways on a number
of five thousand digits and on a thousand brackets.
"""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Final, NoReturn

if TYPE_CHECKING:
    from collections.abc import Iterable

WHOLE: Final = range(-(2**63), 2**64)
"""The whole numbers of at most 64 bits."""
DIGITS_MAX: Final = len(str(2**64)) + 1
SHOWN: Final = 20
DEEPEST: Final = 100
TOO_DEEP: Final = "it is nested too deeply"


def parse_json(text: str | bytes) -> object:
    """Return the document, or raise a ValueError whose text ends a sentence."""
    try:
        found: object = json.loads(
            text,
            parse_int=_whole,
            parse_float=_number,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except json.JSONDecodeError as error:
        raise ValueError(f"it is not JSON: {error}") from error
    except UnicodeDecodeError as error:
        raise ValueError("it is not text") from error
    except RecursionError as error:
        raise ValueError(TOO_DEEP) from error
    if is_deep(found):
        raise ValueError(TOO_DEEP)
    return found


def is_deep(document: object) -> bool:
    """Return whether a document has so many levels that writing it again may fail."""
    level = [document]
    for _ in range(DEEPEST):
        level = [part for one in level for part in _parts(one)]
        if not level:
            return False
    return True


def finite(value: object) -> object:
    """Return a document in which null stands for what is no number in JSON: NaN, and infinite numbers."""
    if isinstance(value, float) and not math.isfinite(value):
        return None
    if isinstance(value, dict):
        return {key: finite(part) for key, part in value.items()}
    return [finite(part) for part in value] if isinstance(value, list | tuple) else value


def _parts(value: object) -> Iterable[object]:
    if isinstance(value, dict):
        return value.values()
    return value if isinstance(value, list) else ()


def _whole(digits: str) -> int:
    if len(digits) > DIGITS_MAX or int(digits) not in WHOLE:
        raise ValueError(f"the whole number {digits[:SHOWN]}… has more than 64 bits")
    return int(digits)


def _number(digits: str) -> float:
    found = float(digits)
    if not math.isfinite(found):
        raise ValueError(f"the number {digits[:SHOWN]} is too large")
    return found


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number that JSON has")


def _object(pairs: list[tuple[str, object]]) -> dict[str, object]:
    found = dict(pairs)
    if len(found) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise ValueError(f'the key "{twice}" is there twice')
    return found
