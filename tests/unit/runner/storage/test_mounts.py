"""The filesystem of a folder is that of the nearest mount above it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.storage import mounts

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def test_the_filesystem_is_found_by_the_nearest_mount(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """A volume inside a container is a mount of its own, with any name."""
    volume = tmp_path / "my data"
    volume.mkdir()
    table = tmp_path / "mountinfo"
    escaped = str(volume).replace(" ", "\\040")
    table.write_text(
        "1 0 0:1 / / rw - overlay overlay rw\n"
        f"2 1 0:2 / {escaped} rw,relatime shared:1 master:2 - nfs4 server:/export rw\n"
        "3 1 0:3 / /proc rw - proc proc rw\n"
    )
    monkeypatch.setattr(mounts, "MOUNTINFO", table)
    assert mounts.filesystem_type(volume / "qlib") == "nfs4"
    assert not mounts.is_local(volume)
    assert mounts.is_local(tmp_path)
    monkeypatch.setattr(mounts, "MOUNTINFO", tmp_path / "none")
    assert not mounts.is_local(tmp_path)
