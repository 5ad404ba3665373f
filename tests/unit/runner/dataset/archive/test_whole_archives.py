"""An archive is unpacked whole or refused: whichever bit is flipped and wherever it is cut.

A sample by default; QLIB_SHADOW_CHAOS_FLIPS sets how many of each.
"""

from __future__ import annotations

import bz2
import gzip
import lzma
import os
import random
import shutil
import tarfile
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.archive.unpack import unpack
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Files

FLIPS = int(os.environ.get("QLIB_SHADOW_CHAOS_FLIPS", "60"))
BLOCK = tarfile.BLOCKSIZE
KINDS = ("zip", "tar", "tar.gz", "tar.bz2", "tar.xz")
Try = Callable[[bytes], "Files | StageError"]


@pytest.fixture
def files(tmp_path: Path, make_dataset: Callable[..., Any]) -> Files:
    """Return the files of a dataset of five days, the prices last: without some of them it is still valid."""
    folder = make_dataset(5, folder=tmp_path / "packed").folder
    paths = sorted(folder.rglob("*.*"), key=lambda path: (path.suffix == ".bin", path))
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


@pytest.fixture
def attempt(tmp_path: Path) -> Try:
    """Unpack an archive; return its files, or the sentence with which it is refused."""
    archive, folder = tmp_path / "us.archive", tmp_path / "staging"

    def attempt(content: bytes) -> Files | StageError:
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        archive.write_bytes(content)
        try:
            unpack(archive, folder, "us.archive")
        except StageError as error:
            return error
        found = (path for path in folder.rglob("*") if path.is_file())
        return {path.relative_to(folder).as_posix(): path.read_bytes() for path in found}

    return attempt


@pytest.fixture
def pack(pack_zip: Callable[[Files], bytes], pack_tar: Callable[..., bytes]) -> Callable[[Files, str], bytes]:
    """Pack files as one of the kinds."""
    return lambda files, kind: pack_zip(files) if kind == "zip" else pack_tar(files, kind.partition(".")[2])


def protected(content: bytes, kind: str) -> list[int]:
    """Return the bytes whose damage can be seen: all, but in a plain tar only headers and the end."""
    if kind != "tar":
        return list(range(len(content)))
    places, header = list[int](), 0
    while content[header : header + BLOCK].strip(b"\0"):
        places += range(header, header + BLOCK)
        size = tarfile.TarInfo.frombuf(content[header : header + BLOCK], "utf-8", "strict").size
        header += BLOCK + size + -size % BLOCK
    return [*places, *range(header, len(content))]


def is_refused(found: Files | StageError) -> bool:
    """Return whether an archive was refused, for a reason that names it or its size."""
    return isinstance(found, StageError) and found.reason in {Reason.ARCHIVE_INVALID, Reason.OUT_OF_DISK}


def sample(among: list[Any]) -> list[Any]:
    """Return as many as asked for, the same in every run."""
    return among if len(among) <= FLIPS else random.Random(3).sample(among, FLIPS)


@pytest.mark.parametrize("kind", KINDS)
def test_random_bit_flipped_is_refused_or_changes_nothing(
    *, kind: str, files: Files, pack: Callable[[Files, str], bytes], attempt: Try
):
    """A dataset that lacks files, or has other ones, is never taken for the whole."""
    whole = pack(files, kind)
    for place, bit in sample([(place, bit) for place in protected(whole, kind) for bit in range(8)]):
        content = bytearray(whole)
        content[place] ^= 1 << bit
        found = attempt(bytes(content))
        assert is_refused(found) or found == files, (place, bit)


@pytest.mark.parametrize("kind", KINDS)
def test_random_cut_is_refused_or_changes_nothing(
    *, kind: str, files: Files, pack: Callable[[Files, str], bytes], attempt: Try
):
    """Wherever the copy ended, in front of a header, too."""
    whole = pack(files, kind)
    at_headers = range(0, len(whole), BLOCK) if kind == "tar" else range(0)
    for length in {*at_headers, *sample(list(range(len(whole))))}:
        found = attempt(whole[:length])
        assert is_refused(found) or found == files, length


def ends(whole: bytes, kind: str) -> Iterator[tuple[str, bytes]]:
    """Yield archives with something after their end."""
    yield "garbage", whole + b"garbage"
    yield "a second archive", whole + whole
    yield "damaged second part", whole + whole[:2] + b"\xff" + whole[3:]
    if kind not in {"zip", "tar"}:
        packed = {"gz": gzip, "bz2": bz2, "xz": lzma}[kind.partition(".")[2]]
        yield "garbage in the tar", packed.compress(packed.decompress(whole) + b"garbage")


@pytest.mark.parametrize("kind", KINDS)
def test_archive_that_goes_on_after_its_end_is_refused(
    *, kind: str, files: Files, pack: Callable[[Files, str], bytes], attempt: Try
):
    """It may be two archives, or one with a damaged middle; Python's readers would take the first."""
    for what, content in ends(pack(files, kind), kind):
        found = attempt(content)
        assert isinstance(found, StageError), what
        assert "us.archive is damaged (" in found.message


@pytest.mark.parametrize("kind", KINDS)
def test_zeros_after_the_end_are_padding(
    *, kind: str, files: Files, pack: Callable[[Files, str], bytes], attempt: Try
):
    """Tapes and some disks fill up their last block."""
    assert attempt(pack(files, kind) + bytes(5000)) == files


@pytest.mark.parametrize("kind", ["gz", "bz2", "xz"])
def test_file_in_several_parts_is_read_to_its_last_part(
    *, kind: str, files: Files, pack: Callable[[Files, str], bytes], attempt: Try
):
    """Parallel packers write one part after another; a damaged start of a part is no end."""
    packed = {"gz": gzip, "bz2": bz2, "xz": lzma}[kind]
    tar = pack(files, "tar")
    parts = [packed.compress(tar[start : start + 3000]) for start in range(0, len(tar), 3000)]
    assert attempt(b"".join(parts)) == files
    parts[1] = b"\0" + parts[1][1:]
    assert isinstance(attempt(b"".join(parts)), StageError)


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (lambda tar: tar[: 2 * BLOCK] + b"\xff" + tar[2 * BLOCK + 1 :], "a header is damaged"),
        (lambda tar: tar[: 4 * BLOCK], "was cut short"),
        (
            lambda tar: tar[: 2 * BLOCK] + bytes(2 * BLOCK) + tar[2 * BLOCK :],
            "something else follows its end",
        ),
        (lambda tar: tar[: 2 * BLOCK] + bytes(BLOCK) + tar[2 * BLOCK :], "an end in its middle"),
        (lambda tar: tar.rstrip(b"\0") + bytes(-len(tar.rstrip(b"\0")) % BLOCK), "was cut short"),
    ],
    ids=["flipped", "cut", "zeroed", "one zero block", "no end"],
)
def test_damaged_plain_tar_is_refused_with_the_cause(
    *,
    damage: Callable[[bytes], bytes],
    said: str,
    files: Files,
    pack: Callable[[Files, str], bytes],
    attempt: Try,
):
    """Each header has a checksum, and two blocks of zeros are the end."""
    found = attempt(damage(pack(files, "tar")))
    assert isinstance(found, StageError)
    assert said in found.message
    assert found.message.endswith("Make or fetch it again.")


def test_tar_with_a_zip_as_its_last_file_is_a_tar(
    files: Files, pack: Callable[[Files, str], bytes], attempt: Try
):
    """The first bytes say what it is, not the last."""
    assert attempt(pack({**files, "notes.zip": pack({"other": b"x"}, "zip")}, "tar")) == files


@pytest.mark.parametrize("form", [tarfile.PAX_FORMAT, tarfile.GNU_FORMAT, tarfile.USTAR_FORMAT])
def test_long_names_of_every_tar_format_are_read(*, form: int, files: Files, tmp_path: Path, attempt: Try):
    """Beyond 100 letters, each format has a way of its own."""
    top = "/".join(("deep" * 10, "deeper" * 8, "é" if form != tarfile.USTAR_FORMAT else "e"))
    archive = tmp_path / "long.tar"
    for name, content in files.items():
        (tmp_path / top / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / top / name).write_bytes(content)
    with tarfile.open(archive, "w", format=form) as tar:
        tar.add(tmp_path / top, top)
    assert attempt(archive.read_bytes()) == files
