"""The sources `archive` and `qlib`: their fields, their identity and the datasets that they build."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.unit.runner.dataset.archive.conftest import Files, Step, Web

    from qlib_shadow_runner.dataset.sources import Source

DIGEST = "ab" * 32


def source(**asked: object) -> Source:
    """Read `spec.dataset.source`."""
    return parse_spec({"dataset": {"source": asked}}).dataset.source


@pytest.mark.parametrize(
    ("archive", "said"),
    [
        ({}, "must have one of url"),
        ({"url": "https://example.com/us.zip", "path": "inbox/us.zip"}, "must have one of url"),
        ({"url": "https://example.com/us.zip"}, "needs sha256 with a url"),
        ({"url": "http://example.com/us.zip", "sha256": DIGEST}, "must begin with https://"),
        ({"url": "ftp://example.com/us.zip", "sha256": DIGEST}, "must begin with https://"),
        ({"url": "file:///etc/passwd", "sha256": DIGEST}, "names no host"),
        ({"url": "https://example.com/a b.zip", "sha256": DIGEST}, "percent-encode the rest"),
        ({"url": "https://example.com:port/us.zip", "sha256": DIGEST}, "is not a URL"),
        ({"url": "https://example.com/us.zip", "sha256": "abc"}, "64 hexadecimal digits"),
        ({"path": "../us.zip"}, 'must lie on the volume, without ".."'),
        ({"path": "/etc/us.zip"}, "must lie on the volume"),
        ({"path": "/data"}, "must lie on the volume"),
        ({"path": "inbox/us.zip", "sha265": DIGEST}, 'did you mean "sha256"'),
    ],
)
def test_invalid_archive_source_is_refused(archive: dict[str, Any], said: str):
    """Before anything is fetched."""
    with pytest.raises(StageError) as caught:
        source(archive=archive)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert said in caught.value.message


@pytest.mark.parametrize(
    ("qlib", "said"),
    [
        ({"region": "uk"}, "must be one of us, cn"),
        ({"interval": "1min"}, "must be one of 1d"),
        ({"version": "../v2"}, "must be v and a number"),
        ({"url": "https://mirror.example.com/x?sig=secret"}, "without ? and #"),
    ],
)
def test_public_source_takes_only_what_qlib_knows(qlib: dict[str, Any], said: str):
    """Other values would end in the command's traceback."""
    with pytest.raises(StageError) as caught:
        source(qlib=qlib)
    assert said in caught.value.message
    assert "secret" not in caught.value.message


def test_identity_is_the_content_of_the_archive(tmp_path: Path):
    """Another mirror or a new signature has the same identity, which shows no URL."""
    volume = Volume(tmp_path)
    asked = [
        {"url": "https://one.example.com/us.zip?sig=1", "sha256": DIGEST},
        {"url": "https://two.example.com/other.zip", "sha256": f"sha256:{DIGEST.upper()}"},
        {"path": "inbox/us.zip", "sha256": DIGEST},
    ]
    found = {source(archive=one).at(volume).identity for one in asked}
    assert found == {f"archive sha256={DIGEST}"}
    public = source(qlib={"url": "https://mirror.example.com/base/"}).identity
    assert public == "qlib region=us interval=1d version=v2 url=https://mirror.example.com/base"


@pytest.mark.parametrize("path", ["inbox/us.zip", "/data/inbox/us.zip"])
def test_file_on_the_volume_becomes_the_dataset(
    path: str, step: Step, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """And is taken again when it is replaced, although the name is the same."""
    inbox = step.volume / "inbox"
    inbox.mkdir()
    (inbox / "us.zip").write_bytes(pack_zip(dataset_files))
    first = step.run({"archive": {"path": path}})
    assert step.run({"archive": {"path": path}}) == first
    close = "features/aaa/close.day.bin"
    (inbox / "us.zip").write_bytes(pack_zip({**dataset_files, close: dataset_files[close][:-4]}))
    second = step.run({"archive": {"path": path}})
    assert step.canonical.resolve() == type(step.canonical)(second["folder"])
    assert second != first
    assert (inbox / "us.zip").exists()


def test_missing_file_error_suggests_a_similar_name(step: Step):
    """Most are typos."""
    (step.volume / "inbox").mkdir()
    (step.volume / "inbox" / "us_2026.zip").touch()
    found = step.run({"archive": {"path": "inbox/us_2025.zip"}})
    assert found["reason"] == Reason.DATASET_MISSING
    assert found["message"] == (
        'there is no file /data/inbox/us_2025.zip; did you mean "us_2026.zip"? Put the archive there.'
    )


def test_link_out_of_the_volume_is_not_followed(step: Step, tmp_path: Path):
    """What a run may read ends at the volume."""
    (tmp_path / "outside.zip").touch()
    (step.volume / "us.zip").symlink_to(tmp_path / "outside.zip")
    found = step.run({"archive": {"path": "us.zip"}})
    assert found["reason"] == Reason.INVALID_SPEC
    assert "leaves the volume" in found["message"]


def test_file_with_another_checksum_is_refused(
    step: Step, dataset_files: Files, pack_zip: Callable[[Files], bytes], sha256: Callable[[bytes], str]
):
    """Locally too, both sums are named."""
    content = pack_zip(dataset_files)
    (step.volume / "us.zip").write_bytes(content)
    found = step.run({"archive": {"path": "us.zip", "sha256": DIGEST}})
    assert found["reason"] == Reason.CHECKSUM_MISMATCH
    assert sha256(content) in found["message"]
    assert DIGEST in found["message"]


def test_file_that_grows_while_it_is_read_is_refused(
    tmp_path: Path,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    monkeypatch: pytest.MonkeyPatch,
):
    """Parts of two uploads are not a dataset."""
    from qlib_shadow_runner.dataset.archive import unpack as unpacking  # noqa: PLC0415 - to come in between

    archive, folder, real = tmp_path / "us.zip", tmp_path / "staging", unpacking.unpack
    archive.write_bytes(pack_zip(dataset_files))
    folder.mkdir()

    def interrupted(path: Path, target: Path, name: str) -> None:
        real(path, target, name)
        os.utime(path, (0, 0))

    monkeypatch.setattr(unpacking, "unpack", interrupted)
    with pytest.raises(StageError, match="changed while it was read") as caught:
        source(archive={"path": "us.zip"}).at(Volume(tmp_path)).build(folder)
    assert caught.value.reason is Reason.ARCHIVE_INVALID


def test_only_the_dataset_is_left_on_the_volume(
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """The archive is removed once it is unpacked, and an older half of another with it."""
    content = pack_zip(dataset_files)
    (step.volume / ".us_data_1d.download-0123456789abcdef").write_bytes(b"half")
    found = step.run({"archive": {"url": web.url("us.zip", content), "sha256": sha256(content)}})
    assert "folder" in found, found
    left = {path.name for path in step.volume.glob(".*")}
    assert left == {".us_data_1d.lock"}
    assert (step.volume / ".us_data_1d.lock").read_bytes() == b""


def test_refresh_always_fetches_again_and_if_missing_does_not(
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """The same content is the same version."""
    content = pack_zip(dataset_files)
    source = {"archive": {"url": web.url("us.zip", content), "sha256": sha256(content)}}
    first = step.run(source)
    assert step.run(source) == first
    assert len(web.asked) == 1
    assert step.run(source, refresh="Always") == first
    assert len(web.asked) == 2


def test_valid_archive_of_an_invalid_dataset_is_refused(
    web: Web,
    step: Step,
    dataset_files: Files,
    pack_zip: Callable[[Files], bytes],
    sha256: Callable[[bytes], str],
):
    """Every dataset is verified before it is published."""
    content = pack_zip({**dataset_files, "calendars/day.txt": b"never\n"})
    found = step.run({"archive": {"url": web.url("us.zip", content), "sha256": sha256(content)}})
    assert found["reason"] == Reason.DATASET_INVALID
    assert not step.canonical.exists()
