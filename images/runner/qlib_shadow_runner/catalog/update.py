"""Bringing the catalog up to date: at the end of a run, and whenever somebody asks."""

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
"""How many runs' outcomes a run looks up before it ends; nightly ones are 21, the rest waits for who asks."""

SHORT_LOCK_TIMEOUT: Final = 20.0
"""Seconds; a run that has ended must not wait for long: whoever comes next enters it as well."""


@dataclass(frozen=True)
class Catalog:
    """Both tables, as they are now."""

    runs: list[Row]
    followup: list[Row]


def add_finished_run(volume: Volume) -> Catalog:
    """Write what has changed at the end of a run, without holding it up."""
    return update(volume, FOLLOWUP_LIMIT_AT_RUN_END, SHORT_LOCK_TIMEOUT)


def update(volume: Volume, limit: int | None = None, lock_timeout: float = LOCK_TIMEOUT) -> Catalog:
    """Write what has changed; whatever keeps it from that is raised."""
    with catalog_lock(volume, lock_timeout):
        runs = refresh_runs(volume)
        return Catalog(runs, refresh_followup(volume, runs, limit))


def read_catalog(volume: Volume) -> Catalog:
    """Give the tables as they should be, and write them where that is possible.

    Where it is not, what is asked for can be told all the same.
    """
    try:
        return update(volume)
    except (StageError, OSError):
        runs = current_runs(volume)
        return Catalog(runs, follow_up(volume, runs, read_followup(volume)))
