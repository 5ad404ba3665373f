"""Fetch a file with a known checksum; a new attempt continues where the connection was lost."""

from __future__ import annotations

import random
import re
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final
from urllib.error import HTTPError

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.crash_points import fault_point
from qlib_shadow_runner.dataset.archive.failures import (
    ADDRESS_ERRORS,
    LINE_ADVICE,
    LINE_ERRORS,
    explain,
    failed,
    refused,
    wrong_address,
)
from qlib_shadow_runner.dataset.archive.https import Connection
from qlib_shadow_runner.dataset.archive.partial import CHUNK, Partial
from qlib_shadow_runner.dataset.archive.progress_log import ProgressLog
from qlib_shadow_runner.dataset.archive.time_limit import DEFAULT_SECONDS, REMEDY, TimeLimit
from qlib_shadow_runner.dataset.free_space import free_bytes, out_of_disk, require_space, spare_bytes
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.texts import format_duration, format_size

if TYPE_CHECKING:
    from collections.abc import Callable
    from http.client import HTTPResponse
    from pathlib import Path

    from qlib_shadow_runner.dataset.archive.credentials import Credentials
    from qlib_shadow_runner.dataset.archive.url import ArchiveAddress

PARTIAL_CONTENT: Final = 206
RANGE_NOT_SATISFIABLE: Final = 416
NUMBER: Final = re.compile(r"[0-9]{1,18}")
"""A number of a header; no file is larger."""
RANGE: Final = re.compile(rf"bytes ({NUMBER.pattern})-{NUMBER.pattern}/({NUMBER.pattern}|\*)")
VALIDATOR: Final = re.compile(r"[ -~]{1,256}")
"""What a request can repeat."""


@dataclass(frozen=True)
class RetryPolicy:
    """The limits for retries within one attempt of the stage."""

    tries: int = 5
    """The number of consecutive tries without a new byte."""
    timeout: float = 60.0
    longest_pause: float = 60.0
    pause: Callable[[float], None] = time.sleep
    random_fraction: Callable[[], float] = random.random
    limit: TimeLimit = field(default_factory=lambda: TimeLimit(DEFAULT_SECONDS))

    def delay(self, stalled: int, wanted: float | None) -> None:
        """Wait as long as the server asked for, else longer after each try, with a random part."""
        backoff = min(2.0**stalled, self.longest_pause) * (0.5 + self.random_fraction() / 2)
        self.pause(backoff if wanted is None else min(wanted, self.longest_pause))


@dataclass
class _Fetch:
    """The download of one file."""

    connection: Connection
    sha256: str
    partial: Partial
    retry_after: float | None = None
    total: int | None = None
    """The size of the whole file, where the server has told it."""

    @property
    def address(self) -> ArchiveAddress:
        return self.connection.address

    def attempt(self) -> bool:
        """Make one request and return whether the whole file has arrived with the right checksum."""
        if self.partial.size and self.partial.sha256 == self.sha256:
            return True
        try:
            with self._ask() as response:
                self._receive(response)
        except LINE_ERRORS as error:
            self._read_retry_after(error)
            raise explain(error, self.address) from error
        except ADDRESS_ERRORS as error:
            raise wrong_address(self.address) from error
        return self._check()

    def _ask(self) -> HTTPResponse:
        headers = {}
        if self.partial.size:
            headers["Range"] = f"bytes={self.partial.size}-"
            validator = self.partial.validator
            if validator and VALIDATOR.fullmatch(validator):  # the note beside the file may be damaged
                headers["If-Range"] = validator
        return self.connection.get(headers)

    def _read_retry_after(self, error: Exception) -> None:
        """Handle the headers and the status of an HTTP error."""
        if not isinstance(error, HTTPError):
            return
        after = error.headers.get("Retry-After", "")
        self.retry_after = float(after) if NUMBER.fullmatch(after) else None
        if error.code == RANGE_NOT_SATISFIABLE:
            self.partial.begin(None)
            error.close()
            raise failed(
                f"{self.address.shown}: the file there has become shorter; it is fetched again."
            ) from error

    def _receive(self, response: HTTPResponse) -> None:
        total = self.total = self._align(response)
        require_space(
            self.partial.path.parent, (total or 0) - self.partial.size, f"the rest of {self.address.name}"
        )
        progress = ProgressLog(f"download {self.address.name}", total, self.partial.size)
        spare = spare_bytes(self.partial.path.parent)
        step = max(1, min(CHUNK, spare // 2))
        looked = self.partial.size
        while total is None or self.partial.size < total:
            chunk = response.read1(step if total is None else min(CHUNK, total - self.partial.size))
            if not chunk:
                break
            self.partial.append(chunk)
            progress.at(self.partial.size)
            if total is None and self.partial.size >= looked + step:
                looked = self.partial.size
                self._leave_space(spare)
            fault_point("download-chunk")
        if total is not None and self.partial.size < total:
            raise failed(
                f"{self.address.shown}: the line was cut after {format_size(self.partial.size)} "
                f"of {format_size(total)}."
            )

    def _leave_space(self, spare: int) -> None:
        """Raise before a file whose size is not known fills the volume, which stops every run on it."""
        folder = self.partial.path.parent
        if (free := free_bytes(folder)) < spare:
            raise out_of_disk(
                f"{self.address.shown} tells no size, and after {format_size(self.partial.size)} only "
                f"{format_size(free)} is free in {folder}"
            )

    def too_long(self, limit: TimeLimit) -> StageError:
        """Return the error that the time for the download is over."""
        of_all = "" if self.total is None else f" of {format_size(self.total)}"
        return refused(
            f"{self.address.shown}: {format_size(self.partial.size)}{of_all} arrived in "
            f"{format_duration(limit.seconds)}, the longest that a download may take here. What arrived is "
            f"kept for the next run. To give it more time, {REMEDY}; or put the file on the volume and name "
            "its path."
        )

    def _align(self, response: HTTPResponse) -> int | None:
        """Position the partial file at the response's start and return the whole size, or None."""
        length = response.headers.get("Content-Length", "")
        if response.status == PARTIAL_CONTENT:
            return self._continue(response.headers.get("Content-Range", ""))
        if self.partial.size:
            print_line(f"download {self.address.name}: the server sends it from the beginning")
        self.partial.begin(_validator(response))
        total = self._size(length)
        print_line(
            f"download {self.address.shown}" + (f", {format_size(total)}" if total is not None else "")
        )
        return total

    def _size(self, length: str) -> int | None:
        """Return the size that the server states; None where it states none, or what is no number."""
        if length.isdecimal() and not NUMBER.fullmatch(length):
            raise refused(
                f"{self.address.shown}: the server says that the file has {length} bytes, which no file has."
            )
        return int(length) if length.isdecimal() else None

    def _continue(self, content_range: str) -> int | None:
        match = RANGE.fullmatch(content_range.strip())
        if match is None or int(match[1]) != self.partial.size:
            self.partial.begin(None)
            raise failed(f"{self.address.shown}: the server sent another part than the one asked for.")
        self.partial.resumed = True
        print_line(f"download {self.address.shown}, continuing after {format_size(self.partial.size)}")
        return None if match[2] == "*" else int(match[2])

    def _check(self) -> bool:
        found, size = self.partial.sha256, self.partial.size
        if found == self.sha256:
            return True
        if self.partial.resumed:  # the parts may come from two files, so start again
            self.partial.begin(None)
            raise failed(f"{self.address.shown} changed between two attempts; it is fetched again.")
        self.partial.drop()
        raise StageError(
            Reason.CHECKSUM_MISMATCH,
            f"{self.address.shown} has the SHA-256 {found} ({format_size(size)}), not {self.sha256}. "
            "Correct spec.dataset.source.archive.sha256 if this file is meant, else find out who changed it.",
        )


def fetch(
    address: ArchiveAddress,
    sha256: str,
    path: Path,
    *,
    credentials: Credentials,
    retry_policy: RetryPolicy | None = None,
) -> None:
    """Fetch the whole file to the path; the part that has arrived stays there after a failure."""
    retry_policy = retry_policy or RetryPolicy()
    with Partial(path) as partial:
        job = _Fetch(
            Connection(address, credentials, retry_policy.timeout, retry_policy.limit), sha256, partial
        )
        try:
            _fetch_with_retries(job, retry_policy)
        except StageError as failure:
            if failure.reason is Reason.OUT_OF_DISK:
                partial.drop()  # a full volume stops every run on it
            raise
    fault_point("download-done")


def _fetch_with_retries(job: _Fetch, retry_policy: RetryPolicy) -> None:
    """Try until the file is complete, no try brings new bytes, or the time is over."""
    limit = job.connection.limit
    stalled, furthest = 0, job.partial.size
    while True:
        try:
            job.attempt()
        except StageError as failure:
            if failure.reason is not Reason.DOWNLOAD_FAILED:
                raise
            if not limit.left:
                raise job.too_long(limit) from failure
            stalled = 0 if job.partial.size >= furthest + limit.least else stalled + 1
            furthest = max(furthest, job.partial.size)
            if stalled >= retry_policy.tries:
                raise failed(
                    f"{failure.message} Nothing more arrived in {stalled} attempts. {LINE_ADVICE}"
                ) from failure
            print_line(f"{failure.message} Trying again.")
            retry_policy.delay(stalled, job.retry_after)
        else:
            return


def _validator(response: HTTPResponse) -> str | None:
    """Return a value that If-Range accepts, a strong ETag or the date, or None."""
    etag = response.headers.get("ETag", "")
    found = etag if etag and not etag.startswith("W/") else response.headers.get("Last-Modified", "")
    return found if VALIDATOR.fullmatch(found) else None
