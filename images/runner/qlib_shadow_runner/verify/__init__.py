"""The golden run: every promise about a run folder, checked against the content of its files."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from qlib_shadow_runner.errors import DamagedFileError, StageError
from qlib_shadow_runner.training.trained import Unusable
from qlib_shadow_runner.verify.acceptance import CHECKS
from qlib_shadow_runner.verify.broken_promise import BrokenPromise
from qlib_shadow_runner.verify.evidence import Evidence

if TYPE_CHECKING:
    from collections.abc import Callable, Collection
    from pathlib import Path


@dataclass(frozen=True)
class AcceptanceLine:
    """The result of one check."""

    name: str
    passed: bool
    detail: str

    def __str__(self) -> str:
        """Return the line that the command prints."""
        return f"{'✓' if self.passed else '✗'} {self.name}: {self.detail}"


def verify_run(folder: Path, mount: Path | None = None) -> list[AcceptanceLine]:
    """Return the result of every check of a run folder."""
    return check_all(Evidence(folder, mount))


def check_all(evidence: Evidence, *, without: Collection[str] = frozenset()) -> list[AcceptanceLine]:
    """Return the result of every check but those left out; one that fails does not hide the others."""
    return [_line(name, check, evidence) for name, check in CHECKS.items() if name not in without]


def _line(name: str, check: Callable[[Evidence], str], evidence: Evidence) -> AcceptanceLine:
    try:
        return AcceptanceLine(name, passed=True, detail=check(evidence))
    except BrokenPromise as broken:
        return AcceptanceLine(name, passed=False, detail=str(broken))
    except DamagedFileError as error:
        return AcceptanceLine(name, passed=False, detail=str(error))
    except Unusable as why:
        return AcceptanceLine(name, passed=False, detail=str(why))
    except StageError as error:
        return AcceptanceLine(name, passed=False, detail=error.message)
    except Exception as error:  # noqa: BLE001 - whatever a damaged file provokes is a finding, not a crash
        return AcceptanceLine(name, passed=False, detail=f"cannot be read ({type(error).__name__}: {error})")
