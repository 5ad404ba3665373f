"""Unpack a dataset from an archive; all names and sizes are checked before the first byte is written."""

from __future__ import annotations

import errno
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.crash_points import fault_point
from qlib_shadow_runner.dataset.archive.containers import Container, Readable, open_container
from qlib_shadow_runner.dataset.archive.members import (
    MOST_MEMBERS,
    Member,
    archive_invalid,
    check_names,
    dataset_root,
    wanted,
)
from qlib_shadow_runner.dataset.archive.progress_log import ProgressLog
from qlib_shadow_runner.dataset.compressed import most_unpacked, unpacks_to_too_much
from qlib_shadow_runner.dataset.free_space import BLOCK, free_bytes, free_files, out_of_disk
from qlib_shadow_runner.errors import from_os_error
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.texts import format_size

if TYPE_CHECKING:
    from pathlib import Path

COPY: Final = 1 << 18


def unpack(path: Path, folder: Path, name: str) -> None:
    """Unpack calendars, features and instruments into an empty folder; messages show `name`."""
    with open_container(path, name) as container:
        members = _survey(container, folder, path.stat().st_size)
        root = dataset_root(members)
        chosen = {member.parts: member for member in members if wanted(member, root)}
        check_names(chosen)
        size = sum(member.size for member in chosen.values())
        print_line(f"unpack {name}: {len(chosen):,} files, {format_size(size)}")
        _write(container, folder, root, chosen)
    fault_point("unpack-done")


def _survey(container: Container, folder: Path, packed: int) -> list[Member]:
    """Return all members; raise as soon as they cannot fit, so that an archive bomb is never unpacked."""
    free, files, most = free_bytes(folder), free_files(folder), most_unpacked(packed)
    members: list[Member] = []
    size = content = 0
    for member in container.members():
        members.append(member)
        size += -(-member.size // BLOCK) * BLOCK
        content += member.size
        if content > most:
            raise unpacks_to_too_much(most)
        if size > free:
            raise out_of_disk(
                f"the archive unpacks to {format_size(size)} or more, but {format_size(free)} is free "
                f"in {folder.parent}"
            )
        if len(members) > MOST_MEMBERS:
            raise archive_invalid(f"the archive holds more than {MOST_MEMBERS:,} files; no dataset does.")
    if files is not None and len(members) > files:
        raise out_of_disk(
            f"the archive holds {len(members):,} files, but {folder.parent} has room for {files:,} more"
        )
    return members


def _write(
    container: Container, folder: Path, root: tuple[str, ...], chosen: dict[tuple[str, ...], Member]
) -> None:
    progress = ProgressLog("unpack", sum(member.size for member in chosen.values()))
    done, made = 0, {folder}
    for member, stream in container.open_members():
        if member.parts not in chosen:
            continue
        target = folder.joinpath(*member.parts[len(root) :])
        _write_one(member, stream, target, made)
        done += member.size
        progress.at(done)
        fault_point("unpack-file")


def _write_one(member: Member, stream: Readable, target: Path, made: set[Path]) -> None:
    """Write one new file, which must have the size in the archive's list."""
    try:
        if target.parent not in made:
            target.parent.mkdir(parents=True, exist_ok=True)
            made.add(target.parent)
        with target.open("xb") as out:
            while piece := stream.read(COPY):
                out.write(piece)
            written = out.tell()
    except FileExistsError as error:
        raise archive_invalid(f'the archive holds "{member.name}" twice. Make or fetch it again.') from error
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            raise archive_invalid(
                f'the archive holds "{member.name[:80]}…", a name that is too long for the volume. '
                "Shorten it."
            ) from error
        if error.errno is not None:
            error.filename = str(target)
            raise from_os_error(error) from error
        raise
    if written != member.size:
        raise archive_invalid(
            f'"{member.name}" is {written} bytes long, not {member.size} as the archive says.'
        )
