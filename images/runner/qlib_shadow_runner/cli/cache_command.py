"""`qlib-shadow cache`: list or remove the features and binned data that are kept on the volume."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qlib_shadow_runner.cache.places import FEATURES_CACHE
from qlib_shadow_runner.cache.store import Store, StoreEntry
from qlib_shadow_runner.cli.amounts import size
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_json, print_line
from qlib_shadow_runner.runs.listing import existing_volume
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

SHOWN: int = 12
"""Characters of a key that are shown, as many as of a dataset's version."""


def use_cache(action: str, data: Path, max_size: str | None, *, as_json: bool) -> int:
    """List the entries in the order of their removal, or remove the longest unused until the rest fits."""
    limit = size(max_size, "--max-size")
    store = Store(existing_volume(data).mount / FEATURES_CACHE)
    if action == "clear":
        _print(store.shrink(limit or 0), "removed", as_json=as_json)
        return ExitCode.DONE
    if limit is not None:
        raise StageError(
            Reason.INVALID_SPEC, "--max-size chooses what cache clear removes; leave it out with ls"
        )
    _print([*store.abandoned(), *store.entries()], "kept", as_json=as_json)
    return ExitCode.DONE


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
        print_line(f"{what}  last used {_when(entry)}")
    print_line(f"{len(entries)} {done}, {format_size(total)}")


def _when(entry: StoreEntry) -> str:
    return datetime.fromtimestamp(entry.used, UTC).isoformat(timespec="seconds").replace("+00:00", "Z")
