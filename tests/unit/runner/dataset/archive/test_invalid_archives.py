"""An archive that is invalid, damaged or too large is refused before anything is written."""

from __future__ import annotations

import io
import os
import stat
import tarfile
import zipfile
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.dataset.archive.unpack import unpack
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Files


@pytest.fixture
def refusal(tmp_path: Path) -> Callable[[bytes], StageError]:
    """Unpack an archive that must be refused, and check that nothing was written."""

    def refuse(content: bytes) -> StageError:
        archive, folder = tmp_path / "us.zip", tmp_path / "volume" / "staging"
        archive.write_bytes(content)
        folder.mkdir(parents=True)
        before = sorted(tmp_path.rglob("*"))
        with pytest.raises(StageError) as caught:
            unpack(archive, folder, "us.zip")
        assert sorted(tmp_path.rglob("*")) == before
        return caught.value

    return refuse


OUTSIDE = [
    "../evil.txt",
    "features/../../evil.txt",
    "/etc/evil.txt",
    "..\\evil.txt",
    "C:\\evil.txt",
    "./../evil.txt",
]


@pytest.mark.parametrize("name", OUTSIDE)
def test_zip_that_points_outside_is_refused(
    name: str,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    refusal: Callable[[bytes], StageError],
):
    """By any spelling."""
    error = refusal(pack_zip({**dataset_files, name: b"evil"}))
    assert error.reason is Reason.ARCHIVE_INVALID
    assert error.exit_code is ExitCode.BAD_DATA
    assert error.message == (f'the archive holds "{name}", which points outside of it. Nothing was unpacked.')


@pytest.mark.parametrize("name", OUTSIDE)
def test_tar_that_points_outside_is_refused(
    name: str, dataset_files: Files, pack_tar: Callable[..., bytes], refusal: Callable[[bytes], StageError]
):
    """The same in the other format."""
    error = refusal(pack_tar({**dataset_files, name: b"evil"}))
    assert error.reason is Reason.ARCHIVE_INVALID
    assert f'"{name}", which points outside of it' in error.message


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (tarfile.SYMTYPE, "a symbolic link"),
        (tarfile.LNKTYPE, "a hard link"),
        (tarfile.CHRTYPE, "a special file"),
        (tarfile.FIFOTYPE, "a special file"),
    ],
)
def test_links_and_devices_in_a_tar_are_refused(
    kind: bytes,
    said: str,
    dataset_files: Files,
    pack_tar: Callable[..., bytes],
    refusal: Callable[[bytes], StageError],
):
    """A link can redirect a later member to a path outside."""
    link = tarfile.TarInfo("features/aaa")
    link.type, link.linkname = kind, "/etc"
    error = refusal(pack_tar(dataset_files, extra=(link,)))
    assert error.reason is Reason.ARCHIVE_INVALID
    assert f'{said}, "features/aaa"' in error.message


def test_symbolic_link_in_a_zip_is_refused(
    dataset_files: Files, pack_zip: Callable[[Files], bytes], refusal: Callable[[bytes], StageError]
):
    """Zip has them too."""
    buffer = io.BytesIO(pack_zip(dataset_files))
    with zipfile.ZipFile(buffer, "a") as archive:
        link = zipfile.ZipInfo("features/link")
        link.external_attr = (stat.S_IFLNK | 0o777) << 16
        archive.writestr(link, "/etc")
    assert 'a symbolic link, "features/link"' in refusal(buffer.getvalue()).message


def test_zip_bomb_is_not_unpacked(
    small_volume: Path, pack_zip: Callable[[Files], bytes], dataset_files: Files
):
    """Sixteen megabytes of zeros pack into sixteen kilobytes; the volume has eight megabytes free."""
    archive, folder = small_volume / "us.zip", small_volume / "staging"
    archive.write_bytes(pack_zip({**dataset_files, "features/aaa/bomb.day.bin": bytes(16 << 20)}))
    folder.mkdir()
    with pytest.raises(StageError) as caught:
        unpack(archive, folder, "us.zip")
    assert caught.value.reason is Reason.OUT_OF_DISK
    assert "the archive unpacks to 16.0 MiB or more, but" in caught.value.message
    assert not list(folder.iterdir())


def test_tar_bomb_is_not_unpacked(
    tmp_path: Path, pack_tar: Callable[..., bytes], dataset_files: Files, monkeypatch: pytest.MonkeyPatch
):
    """Reading stops at the header that does not fit; the volume's size is simulated."""
    real = os.statvfs(tmp_path)
    small = os.statvfs_result((4096, 4096, 1000, 100, 100, *tuple(real)[5:]))
    monkeypatch.setattr(os, "statvfs", lambda _: small)
    archive, folder = tmp_path / "us.tgz", tmp_path / "staging"
    archive.write_bytes(pack_tar({**dataset_files, "features/aaa/bomb.day.bin": bytes(1 << 20)}))
    folder.mkdir()
    with pytest.raises(StageError, match=r"or more, but 400\.0 KiB is free") as caught:
        unpack(archive, folder, "us.zip")
    assert caught.value.reason is Reason.OUT_OF_DISK
    assert not list(folder.iterdir())


def test_size_check_counts_blocks_of_small_files(
    small_volume: Path, pack_zip: Callable[[Files], bytes], dataset_files: Files
):
    """Three thousand files of one byte are twelve megabytes."""
    archive, folder = small_volume / "us.zip", small_volume / "staging"
    archive.write_bytes(pack_zip({**dataset_files, **{f"features/s{n}/a": b"1" for n in range(3000)}}))
    folder.mkdir()
    with pytest.raises(StageError) as caught:
        unpack(archive, folder, "us.zip")
    assert caught.value.reason is Reason.OUT_OF_DISK


def test_volume_without_free_inodes_is_reported(
    tmp_path: Path, pack_zip: Callable[[Files], bytes], dataset_files: Files, monkeypatch: pytest.MonkeyPatch
):
    """Inodes run out before bytes where files are small."""
    real = tuple(os.statvfs(tmp_path))
    full = os.statvfs_result((*real[:5], 1000, 3, 3, *real[8:]))
    monkeypatch.setattr(os, "statvfs", lambda _: full)
    (tmp_path / "us.zip").write_bytes(pack_zip(dataset_files))
    folder = tmp_path / "staging"
    folder.mkdir()
    with pytest.raises(StageError, match="has room for 3 more") as caught:
        unpack(tmp_path / "us.zip", folder, "us.zip")
    assert caught.value.reason is Reason.OUT_OF_DISK


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "neither a zip nor a tar"),
        (b"<!doctype html><title>Sign in</title>", "neither a zip nor a tar"),
        (b"\x28\xb5\x2f\xfd" + bytes(100), "zstd, which is not read. Use zip, tar.gz or tar.xz"),
    ],
)
def test_file_that_is_not_an_archive_is_refused(
    content: bytes, said: str, refusal: Callable[[bytes], StageError]
):
    """A sign-in page is a frequent download."""
    error = refusal(content)
    assert error.reason is Reason.ARCHIVE_INVALID
    assert said in error.message


def test_truncated_zip_is_refused(
    dataset_files: Files, pack_zip: Callable[[Files], bytes], refusal: Callable[[bytes], StageError]
):
    """Its directory is at the end."""
    assert "cut short" in refusal(pack_zip(dataset_files)[:-200]).message


@pytest.mark.parametrize("compression", ["", "gz", "xz", "bz2"])
def test_truncated_tar_is_refused(
    compression: str,
    dataset_files: Files,
    pack_tar: Callable[..., bytes],
    refusal: Callable[[bytes], StageError],
):
    """In every compression."""
    error = refusal(pack_tar(dataset_files, compression)[:-900][: 11_000 if not compression else None])
    assert error.reason is Reason.ARCHIVE_INVALID


def test_zip_with_a_flipped_bit_names_the_file(
    tmp_path: Path, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """Each member carries a checksum of its own."""
    content = bytearray(pack_zip(dict.fromkeys(dataset_files, os.urandom(500))))
    content[300] ^= 0xFF
    (tmp_path / "us.zip").write_bytes(content)
    (tmp_path / "staging").mkdir()
    with pytest.raises(StageError, match=r"us\.zip is damaged") as caught:
        unpack(tmp_path / "us.zip", tmp_path / "staging", "us.zip")
    assert caught.value.reason is Reason.ARCHIVE_INVALID


def test_random_damage_never_ends_in_a_traceback(
    tmp_path: Path, dataset_files: Files, pack_zip: Callable[[Files], bytes], pack_tar: Callable[..., bytes]
):
    """Two hundred damaged archives: each is unpacked or refused, by name."""
    import random  # noqa: PLC0415 - the one place

    dice = random.Random(11)
    whole = [
        pack_zip(dataset_files),
        pack_tar(dataset_files),
        pack_tar(dataset_files, "xz"),
        pack_tar(dataset_files, ""),
    ]
    for number in range(200):
        content = bytearray(whole[number % 4])
        for _ in range(dice.randint(1, 8)):
            content[dice.randrange(len(content))] = dice.randrange(256)
        (tmp_path / "us.zip").write_bytes(content)
        folder = tmp_path / str(number)
        folder.mkdir()
        try:
            unpack(tmp_path / "us.zip", folder, "us.zip")
        except StageError as error:
            assert error.reason in (Reason.ARCHIVE_INVALID, Reason.OUT_OF_DISK)  # noqa: PT017


def test_encrypted_zip_is_refused(
    dataset_files: Files, pack_zip: Callable[[Files], bytes], refusal: Callable[[bytes], StageError]
):
    """There is no place for a password in a manifest."""
    content = bytearray(pack_zip(dataset_files))
    at = content.index(b"PK\x01\x02")
    while at != -1:
        content[at + 8] |= 1
        at = content.find(b"PK\x01\x02", at + 1)
    assert "encrypted" in refusal(bytes(content)).message


def test_duplicate_member_is_refused(tmp_path: Path, dataset_files: Files, pack_tar: Callable[..., bytes]):
    """Which of the two is meant cannot be known."""
    twice = tarfile.TarInfo("calendars/day.txt")
    (tmp_path / "us.tgz").write_bytes(pack_tar(dataset_files, extra=(twice,)))
    (tmp_path / "staging").mkdir()
    with pytest.raises(StageError, match=r'"calendars/day\.txt" twice'):
        unpack(tmp_path / "us.tgz", tmp_path / "staging", "us.zip")


@pytest.mark.parametrize("turn", [1, -1], ids=["file first", "folder first"])
def test_name_of_both_a_file_and_a_folder_is_refused(
    turn: int,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    refusal: Callable[[bytes], StageError],
):
    """No folder can hold both, in whichever order they come."""
    clash = {"us/features/zz": b"x", "us/features/zz/close.day.bin": bytes(8)}
    dataset = {f"us/{name}": content for name, content in dataset_files.items()}
    error = refusal(pack_zip({**dataset, **dict(list(clash.items())[::turn])}))
    assert error.reason is Reason.ARCHIVE_INVALID
    assert '"us/features/zz" as a file and as a folder' in error.message


def test_name_that_is_not_utf_8_is_refused(
    dataset_files: Files, pack_tar: Callable[..., bytes], refusal: Callable[[bytes], StageError]
):
    """The fingerprint is over names, too; what lies beside the dataset may be called anything."""
    error = refusal(
        pack_tar({**dataset_files, "notes/\udce9": b"", "features/\udcff/close.day.bin": bytes(8)})
    )
    assert error.reason is Reason.ARCHIVE_INVALID
    assert r'"features/\udcff/close.day.bin", a name that is not UTF-8' in error.message


@pytest.mark.parametrize(
    ("name", "fault"),
    [
        ("z" * 300, "it is too long"),
        ("/".join("z" * 200 for _ in range(25)), "it is too long"),
        ("a\nb", "it holds a control character"),
        ("a\u2028b", "it holds a control character"),
    ],
    ids=["a long part", "long", "a line break", "a separator of lines"],
)
def test_name_that_no_file_on_the_volume_may_have_is_refused(
    *,
    name: str,
    fault: str,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    refusal: Callable[[bytes], StageError],
):
    """By the rule for all names that others wrote, before anything is unpacked."""
    error = refusal(pack_zip({**dataset_files, f"features/{name}/close.day.bin": bytes(8)}))
    assert error.reason is Reason.ARCHIVE_INVALID
    assert f"a name that is not taken: {fault}. Rename it." in error.message
    assert error.message.isprintable()
