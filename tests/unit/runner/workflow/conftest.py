"""A small dataset, and workflows made for it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from tests.unit.runner.conftest import write_bin
from tests.unit.runner.workflow.workflow_builders import MakeDataset, PrepareIt, RenderIt, preparer

if TYPE_CHECKING:
    from qlib_shadow_runner.workflow.parsed import Workflow


@pytest.fixture
def prepare_it(make_dataset: MakeDataset) -> PrepareIt:
    """Prepare a run's workflow for a small dataset."""
    dataset = make_dataset(300, {"all": ["AAA", "BBB", "^GSPC"], "demo": ["AAA", "BBB"]})
    write_bin(dataset.folder / "features" / "bbb" / "open.day.bin", [1.0] * 300)
    return preparer(dataset)


@pytest.fixture
def render_it(prepare_it: PrepareIt) -> RenderIt:
    """Return the workflow alone."""

    def make(*arguments: object, **named: object) -> Workflow:
        return prepare_it(*arguments, **named).workflow

    return make
