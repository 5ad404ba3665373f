"""`qlib-shadow cache`: what features and binned datasets are kept on the volume, and removing them."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qlib_shadow_runner.cache.places import FEATURES_CACHE
from qlib_shadow_runner.cache.store import Store, StoreEntry
from qlib_shadow_runner.cli.printing import print_json
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.listing import existing_volume
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHOWN: int = 12
"""Letters of a key: as many as a dataset's version shows."""


def print_cache(data: Path, *, as_json: bool) -> int:
    """List what is kept, and what a killed run has left half made: what would go first comes first."""
    store = _store(data)
    _print([*store.abandoned(), *store.entries()], "kept", as_json=as_json)
    return ExitCode.DONE


def clear_cache(data: Path, max_size: int | None, *, as_json: bool) -> int:
    """Remove everything, or the longest unused until the rest fits; whoever reads one goes on reading it."""
    _print(_store(data).shrink(max_size or 0), "removed", as_json=as_json)
    return ExitCode.DONE


def refuse_size() -> StageError:
    """Say that there is nothing to choose in a list."""
    return StageError(
        Reason.INVALID_SPEC, "--max-size chooses what cache clear removes; leave it out with ls"
    )


def _store(data: Path) -> Store:
    return Store(existing_volume(data).mount / FEATURES_CACHE)


def _print(entries: Sequence[StoreEntry], done: str, *, as_json: bool) -> None:
    total = sum(entry.size for entry in entries)
    if as_json:
        listed = [
            {"key": entry.folder.name, "kind": entry.kind, "size": entry.size, "lastUsed": _when(entry)}
            for entry in entries
        ]
        print_json({"size": total, done: listed})
        return
    for entry in entries:
        what = f"{entry.folder.name[:SHOWN]}  {entry.kind:<11}  {format_size(entry.size):>10}"
        sys.stdout.write(f"{what}  last used {_when(entry)}\n")
    sys.stdout.write(f"{len(entries)} {done}, {format_size(total)}\n")


def _when(entry: StoreEntry) -> str:
    return datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
