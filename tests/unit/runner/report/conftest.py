"""One made run and its page, for all the tests of a module."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.report.recorded_runs import Shape, make_run, write_dataset

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class Made:
    """A made run on a volume with its dataset, and its page."""

    data: Path
    folder: Path
    page: Path
    dataset: Path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Made:
    """Make them once."""
    from qlib_shadow_runner.report.make import report_of  # noqa: PLC0415 - it takes seconds to load

    data = tmp_path_factory.mktemp("data")
    folder = make_run(data)
    dataset = write_dataset(data, folder, Shape())
    page = data / "page.html"
    page.write_text(report_of(folder))
    return Made(data, folder, page, dataset)
