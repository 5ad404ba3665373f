"""Check an archive's list of members before anything is written, and find the dataset in it.

A name must not leave the target, and only folders and regular files are accepted, because a link can
redirect a later member to a path outside.
"""

from __future__ import annotations

import json
import re
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.fingerprint import MOST_FOLDERS, is_text
from qlib_shadow_runner.dataset.qlib_layout import PARTS
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.relative_names import name_fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

MOST_MEMBERS: Final = 1_000_000
"""The most files of an archive: 50,000 instruments with 20 fields each, listed in a quarter of a gigabyte."""
NAMES_SHOWN: Final = 5


@dataclass(frozen=True, slots=True)
class Member:
    """One regular file in an archive."""

    parts: tuple[str, ...]
    size: int

    @property
    def name(self) -> str:
        """Return the name in the archive."""
        return "/".join(self.parts)


def archive_invalid(message: str) -> StageError:
    """Return the error that an archive is invalid."""
    return StageError(Reason.ARCHIVE_INVALID, message)


def safe_parts(name: str) -> tuple[str, ...]:
    """Return a name's parts; refuse a name that points outside the target."""
    normal = name.replace("\\", "/")  # some Windows tools write backslashes
    # Interned, since most parts recur: the list of a million files would take twice the memory.
    parts = tuple(sys.intern(part) for part in normal.split("/") if part not in ("", "."))
    if normal.startswith("/") or ".." in parts or re.match(r"[A-Za-z]:", normal):
        raise archive_invalid(
            f'the archive holds "{name[:80]}", which points outside of it. Nothing was unpacked.'
        )
    if len(parts) > MOST_FOLDERS:
        raise archive_invalid(
            f'the archive holds "{name[:80]}…", a file in {len(parts) - 1:,} folders. Pack it flatter.'
        )
    return parts


def refuse_kind(name: str, kind: str) -> StageError:
    """Return the error that an archive holds a link or a special file."""
    return archive_invalid(
        f'the archive holds {kind}, "{name[:80]}"; only folders and files are taken. Nothing was unpacked.'
    )


def dataset_root(members: Iterable[Member]) -> tuple[str, ...]:
    """Return the only folder, possibly the top, that has calendars, features and instruments."""
    roots: dict[str, set[tuple[str, ...]]] = {part: set() for part in PARTS}
    tops: set[str] = set()
    for member in members:
        tops.add(member.parts[0])
        for depth, part in enumerate(member.parts[:-1]):
            if part in roots:
                roots[part].add(member.parts[:depth])
                break
    found = sorted(set.intersection(*roots.values()))
    if len(found) == 1:
        return found[0]
    if found:
        shown = ", ".join("/".join(root) or "the top" for root in found[:NAMES_SHOWN])
        raise archive_invalid(f"the archive holds {len(found)} datasets ({shown}). Pack one.")
    shown = ", ".join(sorted(tops)[:NAMES_SHOWN]) or "nothing"
    raise archive_invalid(
        "the archive holds no Qlib dataset: calendars/, features/ and instruments/ with files in them, at "
        f"the top or in one folder. It holds: {shown}."
    )


def wanted(member: Member, root: tuple[str, ...]) -> bool:
    """Return whether a file belongs to the dataset; hidden files and files beside it do not."""
    inside = member.parts[len(root) :]
    return (
        member.parts[: len(root)] == root
        and inside[0] in PARTS
        and not any(part[0] == "." for part in inside)
    )


def check_names(chosen: Mapping[tuple[str, ...], Member]) -> None:
    """Refuse names that no file on the volume may have, and a name of both a file and a folder."""
    for parts, member in chosen.items():
        if not is_text(member.name):
            raise archive_invalid(
                f'the archive holds "{member.name[:80]}", a name that is not UTF-8. Rename it.'
            )
        if fault := name_fault(member.name):
            shown = json.dumps(member.name[:80])
            raise archive_invalid(f"the archive holds {shown}, a name that is not taken: {fault}. Rename it.")
        for depth in range(1, len(parts)):
            if parts[:depth] in chosen:
                name = chosen[parts[:depth]].name
                raise archive_invalid(
                    f'the archive holds "{name[:80]}" as a file and as a folder. Make or fetch it again.'
                )
