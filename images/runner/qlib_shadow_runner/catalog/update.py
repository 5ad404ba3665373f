"""Bringing the catalog up to date: at the end of a run, and whenever somebody asks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.followup import follow_up, read_followup, refresh_followup
from qlib_shadow_runner.catalog.store import PATIENCE, catalog_lock, current_runs, refresh_runs
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from qlib_shadow_runner.catalog.columns import Row
    from qlib_shadow_runner.storage.volume import Volume

AT_THE_END_OF_A_RUN: Final = 50
"""How many runs' outcomes a run looks up before it ends; nightly ones are 21, the rest waits for who asks."""

SHORT_PATIENCE: Final = 20.0
"""Seconds; a run that has ended must not wait for long: whoever comes next enters it as well."""


@dataclass(frozen=True)
class Catalog:
    """Both tables, as they are now."""

    runs: list[Row]
    followup: list[Row]


def enter(volume: Volume) -> Catalog:
    """Write what has changed at the end of a run, without holding it up."""
    return update(volume, AT_THE_END_OF_A_RUN, SHORT_PATIENCE)


def update(volume: Volume, limit: int | None = None, patience: float = PATIENCE) -> Catalog:
    """Write what has changed; whatever keeps it from that is raised."""
    with catalog_lock(volume, patience):
        runs = refresh_runs(volume)
        return Catalog(runs, refresh_followup(volume, runs, limit))


def look(volume: Volume) -> Catalog:
    """Give the tables as they should be, and write them where that is possible.

    Where it is not, what is asked for can be told all the same.
    """
    try:
        return update(volume)
    except (StageError, OSError):
        runs = current_runs(volume)
        return Catalog(runs, follow_up(volume, runs, read_followup(volume)))
