"""Reading one field of the spec: the right type and range, or a sentence that names the field."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import PurePosixPath
from typing import TYPE_CHECKING, NoReturn

from qlib_shadow_runner.contract import DEFAULT_DATA, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import did_you_mean, nearest

if TYPE_CHECKING:
    from collections.abc import Sequence
    from collections.abc import Set as AbstractSet


def refuse(message: str, reason: Reason = Reason.INVALID_SPEC) -> NoReturn:
    """End the stage over what the user wrote."""
    raise StageError(reason, message)


def mapping(value: object, where: str) -> Mapping[str, object]:
    """Take a mapping with string keys."""
    if not isinstance(value, Mapping):
        refuse(f"{where} must be a mapping of fields, not {_shown(value)}")
    for key in value:
        if not isinstance(key, str):
            refuse(f"{where} has the key {_shown(key)}; keys are words")
    return value


def check_keys(raw: Mapping[str, object], known: AbstractSet[str], where: str) -> None:
    """Refuse what would otherwise be ignored in silence."""
    for key in raw:
        if key not in known:
            refuse(f'{where} has no field "{key}"; {did_you_mean(key, known)}')


def text(value: object, where: str) -> str:
    """Take a non-empty string."""
    if not isinstance(value, str) or not value.strip():
        refuse(f"{where} must be a non-empty string, not {_shown(value)}")
    return value


def integer(value: object, low: float, high: float, where: str) -> int:
    """Take a whole number within a range."""
    if isinstance(value, bool) or not isinstance(value, int) or not low <= value <= high:
        refuse(f"{where} must be a whole number from {low:g} to {high:g}, not {_shown(value)}")
    return value


def number(value: object, low: float, high: float, where: str) -> float:
    """Take a finite number within a range."""
    good = isinstance(value, int | float) and not isinstance(value, bool)
    if not good or not math.isfinite(value) or not low <= value <= high:  # type: ignore[arg-type, operator]
        refuse(f"{where} must be a number from {low:g} to {high:g}, not {_shown(value)}")
    return float(value)  # type: ignore[arg-type]


def choice(value: object, options: Sequence[str], where: str) -> str:
    """Take one of a few words."""
    if value in options:
        return str(value)
    close = nearest(str(value), options)
    hint = f'; did you mean "{close}"?' if close else ""
    refuse(f"{where} must be one of {', '.join(options)}, not {_shown(value)}{hint}")


def _shown(value: object) -> str:
    shown = repr(value)
    return shown if len(shown) <= 60 else shown[:57] + "..."  # noqa: PLR2004 - a line's worth


def on_volume(value: object, where: str, *, example: str) -> str:
    """Read a path on the volume as /data/…, whether it was written so or relative to the volume."""
    path = text(value, where)
    inside = PurePosixPath(DEFAULT_DATA) / path  # an absolute path stays what it is
    parts = inside.parts
    if parts[:2] != ("/", DEFAULT_DATA[1:]) or len(parts) < 3 or ".." in parts or "\0" in path:  # noqa: PLR2004 - /, data, something
        refuse(
            f'{where} "{path}" must lie on the volume, without "..": relative to it, such as '
            f'"{example}", or as {DEFAULT_DATA}/{example}'
        )
    return str(inside)
