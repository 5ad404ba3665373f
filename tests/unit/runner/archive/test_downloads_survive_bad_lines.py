"""A file arrives over cut, slow, busy and changing servers, and nothing is fetched twice."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.dataset.archive.progress import Progress
from qlib_shadow_runner.errors import StageError
from tests_archive import Answer  # type: ignore[import-not-found]

if TYPE_CHECKING:
    from tests.unit.runner.archive.conftest import Fetcher, Web
