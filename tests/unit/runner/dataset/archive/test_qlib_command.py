"""`source: qlib` runs the real `qlib.cli.data`, which is pointed at a server on this machine.

Qlib has no option for that; `spec.dataset.source.qlib.url` sets GetData.REMOTE_URL before the same
command line is run, and the tests use that setting.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.archive.qlib_command import last_words, redact

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runner.dataset.archive.conftest import Files, Step, Web

NAME = "v2/qlib_data_us_1d_latest.zip"


def source(web: Web) -> dict[str, object]:
    """Ask for the US set from the server here."""
    return {"qlib": {"region": "us", "interval": "1d", "url": web.base}}


def test_public_set_is_fetched_verified_and_published(
    web: Web, step: Step, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """Nothing is asked on a terminal, and the zip that Qlib leaves is not part of the version."""
    web.url(NAME, pack_zip(dataset_files))
    step.environ["QLIB_SHADOW_ARCHIVE_TOKEN"] = "sesame-4711"
    found = step.run(source(web))
    assert "folder" in found, step.outputs
    assert {path.name for path in step.canonical.iterdir()} == {"calendars", "features", "instruments"}
    [manifest] = step.volume.glob("*.manifest.json")
    assert json.loads(manifest.read_text())["source"] == (
        f"qlib region=us interval=1d version=v2 url={web.base}"
    )
    assert web.asked[-1].path == f"/{NAME}"
    assert {one.authorization for one in web.asked} == {None}
    assert "running: python -m qlib.cli.data qlib_data --region=us" in step.outputs[0]
    asked = len(web.asked)
    assert step.run(source(web)) == found
    assert len(web.asked) == asked


def test_region_interval_and_version_reach_the_command(
    web: Web, step: Step, dataset_files: Files, pack_zip: Callable[[Files], bytes]
):
    """The region of the dataset is enough; it goes into a staging folder, never into the dataset's."""
    web.url("v1/qlib_data_cn_1d_latest.zip", pack_zip(dataset_files))
    found = step.run({"qlib": {"url": web.base, "version": "v1"}}, region="cn")
    assert "folder" in found, step.outputs
    assert web.asked[-1].path == "/v1/qlib_data_cn_1d_latest.zip"
    assert "qlib_data --region=cn --interval=1d --version=v1" in step.outputs[0]
    target = re.search(r"old qlib data directory\([^)]*\): (\S+)", step.outputs[0])
    assert target is not None
    assert re.fullmatch(r"\.us_data_1d\.staging-[0-9a-f]{8}", Path(target[1]).name)
    [manifest] = step.volume.glob("*.manifest.json")
    assert json.loads(manifest.read_text())["claims"] == {"region": "cn", "interval": "1d"}


@pytest.mark.parametrize(
    ("content", "reason", "said"),
    [
        (None, Reason.DOWNLOAD_REFUSED, "404 Client Error"),
        (b"<html>Sign in</html>", Reason.DOWNLOAD_FAILED, "BadZipFile: File is not a zip file"),
    ],
)
def test_failure_shows_the_last_error_line_of_the_command(
    content: bytes | None, reason: Reason, said: str, web: Web, step: Step
):
    """Not its traceback."""
    if content is not None:
        web.url(NAME, content)
    found = step.run(source(web))
    assert found["reason"] == reason
    assert said in found["message"]
    assert "Traceback" not in found["message"]
    assert not step.canonical.exists()
    assert {path.name for path in step.volume.glob(".*")} == {".us_data_1d.lock"}


def test_lost_connection_is_retried(
    web: Web, step: Step, dataset_files: Files, noise: bytes, pack_zip: Callable[[Files], bytes]
):
    """The command cannot resume; the Job's next attempt starts again."""
    web.url(NAME, pack_zip({**dataset_files, "noise": noise}))
    web.will(status=404)  # it looks for a file of its own version first
    web.will(cut_after=1_000_000)
    found = step.run(source(web))
    assert found["reason"] == Reason.DOWNLOAD_FAILED
    assert "IncompleteRead" in found["message"]


def test_full_disk_has_its_own_reason(
    *,
    small_volume: Path,
    step: Step,
    web: Web,
    dataset_files: Files,
    noise: bytes,
    pack_zip: Callable[[Files], bytes],
):
    """And leaves the volume as it was."""
    step.volume = small_volume
    web.url(NAME, pack_zip({**dataset_files, "noise": noise * 4}))
    found = step.run(source(web))
    assert found["reason"] == Reason.OUT_OF_DISK
    assert {path.name for path in small_volume.glob(".*")} == {".us_data_1d.lock"}


def test_last_error_line_is_the_exception():
    """Wherever the noise around it ends."""
    tail = [
        "Traceback (most recent call last):",
        '  File "data.py", line 1, in <module>',
        "requests.exceptions.HTTPError: 404 Client Error: Not Found for url: https://example.com/us.zip",
        "sys:1: some warning at exit",
    ]
    assert last_words(tail) == tail[2]
    assert last_words(["only this"]) == "only this"
    assert last_words([]) == "no output"


def test_signatures_are_removed_from_the_output():
    """Release pages redirect to signed addresses, which errors repeat."""
    line = "HTTPError: 403 for url: https://user:secret@host/us.zip?X-Signature=secret&x=1 and more"
    assert redact(line) == "HTTPError: 403 for url: https://host/us.zip?… and more"
    pool = (
        "HTTPSConnectionPool(host='host', port=443): Max retries with url: /us.zip?sig=secret (Caused by x)"
    )
    assert "secret" not in redact(pool)
