"""Update the catalog: at the end of a run, and when a command reads it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.followup import follow_up, read_followup, refresh_followup
from qlib_shadow_runner.catalog.tables import LOCK_TIMEOUT, catalog_lock, current_runs, refresh_runs
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from qlib_shadow_runner.catalog.run_columns import Row
    from qlib_shadow_runner.storage.volume import Volume

FOLLOWUP_LIMIT_AT_RUN_END: Final = 50
"""The runs whose outcomes are updated at the end of a run: nightly runs need 21; commands update the rest."""

SHORT_LOCK_TIMEOUT: Final = 20.0
"""Seconds; a finished run must not wait long, and the next update includes it as well."""


@dataclass(frozen=True)
class Catalog:
    """Both tables as they are now."""

    runs: list[Row]
    followup: list[Row]


def add_finished_run(volume: Volume) -> Catalog:
    """Update the catalog at the end of a run, without making it wait."""
    return update(volume, FOLLOWUP_LIMIT_AT_RUN_END, SHORT_LOCK_TIMEOUT)


def update(volume: Volume, limit: int | None = None, lock_timeout: float = LOCK_TIMEOUT) -> Catalog:
    """Update the catalog and return it; an error is raised."""
    with catalog_lock(volume, lock_timeout):
        runs = refresh_runs(volume)
        return Catalog(runs, refresh_followup(volume, runs, limit))


def read_catalog(volume: Volume) -> Catalog:
    """Return the updated tables, and write them if that is possible.

    If it is not, the caller can still show them.
    """
    try:
        return update(volume)
    except (StageError, OSError):
        runs = current_runs(volume)
        return Catalog(runs, follow_up(volume, runs, read_followup(volume)))
