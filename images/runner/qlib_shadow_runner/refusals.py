"""Errors about what the user wrote; each names the field and a value that would be valid."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.kinds import shown
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import did_you_mean, nearest

if TYPE_CHECKING:
    from qlib_shadow_runner.contract.place import Fault


def refuse(message: str, reason: Reason = Reason.INVALID_SPEC) -> NoReturn:
    """Raise an error that ends the stage because of what the user wrote."""
    raise StageError(reason, message)


def mapping(value: object, where: str) -> Mapping[str, object]:
    """Return the value; refuse it where it is not a mapping."""
    if not isinstance(value, Mapping):
        refuse(f"{where} must be a mapping of fields, not {shown(value)}")
    return value


def fault_of(fault: Fault) -> StageError:
    """Return a fault as an error, with the field name or value that was probably meant."""
    sentence = f"{fault.where} {fault.what}"
    if fault.among and (not fault.listed or nearest(fault.word, fault.among)):
        sentence = f"{sentence}; {did_you_mean(fault.word, fault.among)}"
    return StageError(fault.reason, sentence)
