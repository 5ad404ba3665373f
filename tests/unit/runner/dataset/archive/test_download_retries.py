"""Downloads continue after lost connections and busy servers, and no byte is fetched twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.dataset.archive.progress_log import ProgressLog
from qlib_shadow_runner.errors import StageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.unit.runner.dataset.archive.conftest import Fetcher, Web

    Sha = Callable[[bytes], str]


def test_interrupted_download_is_resumed(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """The second request asks for the rest only, and only of the same file."""
    web.will(cut_after=1_000_000)
    assert fetcher(web.url("us.zip", noise), sha256(noise)) == noise
    first, second = web.asked
    assert (first.range, first.sent) == (None, 1_000_000)
    assert (second.range, second.if_range) == ("bytes=1000000-", '"one"')
    assert second.sent == len(noise) - 1_000_000


def test_next_attempt_resumes_the_download(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """The part on the volume is hashed again and not fetched again."""
    web.will(cut_after=2_000_000)
    for _ in range(5):
        web.will(status=503)
    with pytest.raises(StageError):
        fetcher(web.url("us.zip", noise), sha256(noise))
    web.asked.clear()
    assert fetcher(web.url("us.zip"), sha256(noise)) == noise
    assert [(one.range, one.sent) for one in web.asked] == [("bytes=2000000-", 1_000_000)]


def test_complete_file_is_not_requested_again(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """A crash after the last byte costs no second download."""
    fetcher(web.url("us.zip", noise), sha256(noise))
    assert fetcher(web.url("us.zip"), sha256(noise)) == noise
    assert len(web.asked) == 1


def test_retries_are_unlimited_while_bytes_arrive(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """Only attempts without a new byte count."""
    for _ in range(12):
        web.will(cut_after=200_000)
    assert fetcher(web.url("us.zip", noise), sha256(noise)) == noise
    assert sum(one.sent for one in web.asked) == len(noise)


def test_server_without_ranges_sends_the_whole_file_again(
    web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha
):
    """A 200 to a Range begins at zero."""
    web.will(cut_after=1_000_000)
    web.will(honours_range=False)
    assert fetcher(web.url("us.zip", noise), sha256(noise)) == noise


def test_retries_end_without_progress_and_ranges(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """Fetching the same bytes again is not progress."""
    for _ in range(20):
        web.will(cut_after=1_000_000, honours_range=False)
    with pytest.raises(StageError, match="Nothing more arrived in 5 attempts") as caught:
        fetcher(web.url("us.zip", noise), sha256(noise))
    assert caught.value.reason is Reason.DOWNLOAD_FAILED
    assert caught.value.exit_code is ExitCode.TRANSIENT
    assert len(web.asked) == 6


def test_file_that_changed_is_fetched_again(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """The old half and the new half are never put together."""
    new = noise[::-1]
    url = web.url("us.zip", noise)
    web.will(cut_after=1_000_000)
    for _ in range(5):
        web.will(status=502)
    with pytest.raises(StageError):
        fetcher(url, sha256(new))
    web.files["/us.zip"], web.etags["/us.zip"] = new, '"two"'
    assert fetcher(url, sha256(new)) == new
    assert web.asked[-1].if_range == '"one"'
    assert web.asked[-1].sent == len(new)


def test_parts_of_two_files_with_one_etag_are_detected(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """A server may reuse an ETag; the checksum shows the mixture, which is not called the user's error."""
    new = noise[::-1]
    url = web.url("us.zip", noise)
    web.will(cut_after=1_000_000)
    for _ in range(5):
        web.will(status=502)
    with pytest.raises(StageError):
        fetcher(url, sha256(new))
    web.files["/us.zip"] = new
    assert fetcher(url, sha256(new)) == new


def test_file_that_became_shorter_is_fetched_again(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """Status 416 is retried from the beginning."""
    short = noise[:500_000]
    web.will(cut_after=1_000_000)
    for _ in range(5):
        web.will(status=502)
    with pytest.raises(StageError):
        fetcher(web.url("us.zip", noise), sha256(short))
    web.files["/us.zip"] = short
    assert fetcher(web.url("us.zip"), sha256(short)) == short


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_busy_server_is_retried(status: int, web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """Such answers pass."""
    web.will(status=status)
    assert fetcher(web.url("us.zip", noise), sha256(noise)) == noise
    assert fetcher.rests == [2.0]


def test_retry_after_header_sets_the_pause(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """Retry-After is taken, up to a minute."""
    web.will(status=503, headers={"Retry-After": "7"})
    web.will(status=503, headers={"Retry-After": "86400"})
    fetcher(web.url("us.zip", noise), sha256(noise))
    assert fetcher.rests == [7.0, 60.0]


def test_pauses_grow_with_each_retry(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """Five requests in a second would not help."""
    for _ in range(4):
        web.will(status=503)
    fetcher(web.url("us.zip", noise), sha256(noise))
    assert fetcher.rests == [2.0, 4.0, 8.0, 16.0]


def test_file_without_a_length_is_fetched(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """The checksum says whether it was whole."""
    web.will(tells_length=False)
    assert fetcher(web.url("us.zip", noise), sha256(noise)) == noise


def test_redirects_are_followed_with_the_range(web: Web, fetcher: Fetcher, noise: bytes, sha256: Sha):
    """Release pages redirect to where the file is."""
    web.url("real.zip", noise)
    web.will(status=302, headers={"Location": "/real.zip"})
    web.will(cut_after=1_000_000)
    web.will(status=302, headers={"Location": "/real.zip"})
    assert fetcher(web.url("us.zip"), sha256(noise)) == noise
    assert web.asked[-1].range == "bytes=1000000-"


def test_progress_logs_at_most_one_line_in_ten_seconds():
    """Each line shows the time that is left."""
    now, said = [0.0], list[str]()
    progress = ProgressLog("download us.zip", 100 << 20, clock=lambda: now[0], log=said.append)
    for second in range(26):
        now[0] = float(second)
        progress.at(second << 20)
    assert said == [
        "download us.zip: 10.0 MiB of 100.0 MiB (10%), 1.0 MiB/s, 1:30 left",
        "download us.zip: 20.0 MiB of 100.0 MiB (20%), 1.0 MiB/s, 1:20 left",
    ]
