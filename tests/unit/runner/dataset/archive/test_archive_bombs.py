"""A small archive that asks for much memory, space or time is refused in a sentence, before it gets any."""

from __future__ import annotations

import bz2
import gzip
import io
import lzma
import struct
import tarfile
import tracemalloc
import zipfile
from collections.abc import Callable
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset import compressed
from qlib_shadow_runner.dataset.archive import unpack as unpacking
from qlib_shadow_runner.dataset.archive import zip_directory
from qlib_shadow_runner.dataset.archive.unpack import unpack
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Files

MIB = 1 << 20
Refuse = Callable[[bytes], str]


@pytest.fixture
def refuse(tmp_path: Path) -> Refuse:
    """Unpack an archive that must be refused, in little memory; return the sentence."""
    archive, folder = tmp_path / "us.archive", tmp_path / "staging"

    def refuse(content: bytes) -> str:
        archive.write_bytes(content)
        folder.mkdir(exist_ok=True)
        tracemalloc.start()
        try:
            with pytest.raises(StageError) as caught:
                unpack(archive, folder, "us.archive")
            assert tracemalloc.get_traced_memory()[1] < 20 * MIB
        finally:
            tracemalloc.stop()
        assert caught.value.reason is Reason.ARCHIVE_INVALID
        assert not list(folder.iterdir())
        return caught.value.message

    return refuse


def header(name: str, size: int, kind: bytes = tarfile.REGTYPE) -> bytes:
    """Return one header."""
    info = tarfile.TarInfo(name)
    info.size, info.type = size, kind
    return info.tobuf(tarfile.GNU_FORMAT)


def zeros(mebibytes: int) -> bytes:
    """Return so much, packed by gzip in parts, which is quick."""
    return gzip.compress(bytes(MIB)) * mebibytes


@pytest.mark.parametrize("kind", [tarfile.XHDTYPE, tarfile.XGLTYPE, tarfile.GNUTYPE_LONGNAME])
def test_header_of_a_long_name_has_a_limit(kind: bytes, refuse: Refuse):
    """Python's tarfile reads all of it into memory; of a packed gigabyte, that is a megabyte on the way."""
    content = gzip.compress(header("x", 100 * MIB, kind)) + zeros(100)
    assert "a header has 104,857,600 bytes, more than any name" in refuse(content)


def test_number_of_headers_before_one_file_has_a_limit(refuse: Refuse):
    """Each could follow another for ever."""
    one = header("x", 5, tarfile.GNUTYPE_LONGNAME) + b"name".ljust(512, b"\0")
    assert "one file has more than 100 headers" in refuse(gzip.compress(one * 10_000))


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (b"17 size=12345678\n", "cut short"),
        (b"12 size=-99\n", "a size that is not a number"),
        (b"99 path=features/aaa\n", "records are damaged"),
        (b"path=features/aaa\n", "records are damaged"),
        (b"5 a=\n0 b=c\n", "records are damaged"),
        (b"22 GNU.sparse.major=1\n", "a sparse file (pack it without --sparse)"),
    ],
)
def test_records_of_a_header_are_read_exactly(records: bytes, said: str, refuse: Refuse):
    """They may change a file's name and size."""
    extended = header("x", len(records), tarfile.XHDTYPE) + records.ljust(512, b"\0")
    assert said in refuse(extended + header("features/aaa/close.day.bin", 8) + bytes(1536))


def test_sparse_file_is_refused(refuse: Refuse):
    """A few bytes of it may be a terabyte of zeros."""
    sparse = header("features/aaa/close.day.bin", 0, tarfile.GNUTYPE_SPARSE)
    assert "a sparse file (pack it without --sparse)" in refuse(sparse + bytes(1024))


def test_xz_with_a_large_dictionary_is_refused(refuse: Refuse):
    """Its author chooses how much memory unpacking takes."""
    filters = [{"id": lzma.FILTER_LZMA2, "preset": 0, "dict_size": 1 << 30}]
    said = refuse(lzma.compress(bytes(10_240), filters=filters))
    assert "us.archive is not unpacked: it needs more than 256.0 MiB of memory. Pack it with xz -9" in said


def test_zip_that_is_packed_by_lzma_is_refused(refuse: Refuse):
    """The same dictionary, where Python cannot limit it."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_LZMA) as archive:
        archive.writestr("features/aaa/close.day.bin", bytes(8))
    assert '"features/aaa/close.day.bin", packed by the method 14; only deflate' in refuse(buffer.getvalue())


@pytest.mark.parametrize("kind", ["tar.gz", "tar.bz2", "tar.xz", "zip"])
def test_archive_that_unpacks_to_many_times_its_size_is_refused(
    kind: str, refuse: Refuse, monkeypatch: pytest.MonkeyPatch
):
    """Whether its headers tell the size or it is what follows its last file."""
    monkeypatch.setattr(compressed, "ALWAYS_ALLOWED", MIB)
    big = bytes(3 * MIB)
    if kind == "zip":
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
            archive.writestr("features/aaa/close.day.bin", big)
        contents = [buffer.getvalue()]
    else:
        pack = {"tar.gz": gzip, "tar.bz2": bz2, "tar.xz": lzma}[kind].compress
        contents = [pack(header("features/aaa/close.day.bin", len(big)) + big + bytes(1024)), pack(big)]
    for content in contents:
        assert "it unpacks to more than 1.0 MiB, over 200 times its size, as no data does" in refuse(content)


def test_list_of_files_of_a_zip_has_a_limit(refuse: Refuse, monkeypatch: pytest.MonkeyPatch):
    """It is read as a whole, and takes ten times its size."""
    monkeypatch.setattr(zip_directory, "LARGEST_DIRECTORY", 50_000)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for number in range(1000):
            archive.writestr(f"features/s{number}/close.day.bin", b"")
    said = refuse(buffer.getvalue())
    assert "its list of files has 71.2 KiB, and at most 48.8 KiB is read" in said


def test_zip_whose_end_counts_other_files_is_refused(
    refuse: Refuse, pack_zip: Callable[[Files], bytes], dataset_files: Files
):
    """Python's zipfile does not compare them."""
    content = bytearray(pack_zip(dataset_files))
    [count] = struct.unpack_from("<H", content, len(content) - 12)
    for place in (12, 14):
        struct.pack_into("<H", content, len(content) - place, count + 1)
    assert "its list of files is damaged" in refuse(bytes(content))


def test_number_of_files_has_a_limit(refuse: Refuse, monkeypatch: pytest.MonkeyPatch):
    """Millions of empty files are a few megabytes, and each needs memory, an inode and time."""
    monkeypatch.setattr(unpacking, "MOST_MEMBERS", 1000)
    tar = b"".join(header(f"features/s{number}/close.day.bin", 0) for number in range(1001))
    assert "the archive holds more than 1,000 files; no dataset does." in refuse(gzip.compress(tar))


def test_file_in_many_folders_is_refused(refuse: Refuse, pack_zip: Callable[[Files], bytes]):
    """Each folder is a call inside of a call."""
    said = refuse(pack_zip({"features/" + "z/" * 500 + "close.day.bin": bytes(8)}))
    assert "a file in 501 folders. Pack it flatter." in said
