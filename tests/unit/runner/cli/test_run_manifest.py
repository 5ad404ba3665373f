"""Reading a manifest, and the request for a run that is made from it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.cli.run_manifest import load_manifest, local_run_id
from qlib_shadow_runner.contract import RUN_ID_MAX
from qlib_shadow_runner.contract.spec import run_id_fault

if TYPE_CHECKING:
    from pathlib import Path

HEAD = "apiVersion: qlibshadow.io/v1alpha1\nkind: QlibShadowRun\nmetadata: {name: demo}\n"


@pytest.mark.parametrize("name", ["demo", "n" * 60, "a-" * 20 + "b", "x." * 30 + "y"])
def test_run_id_consists_of_name_time_and_random_digits(name: str):
    """Every valid name gives a valid run id."""
    run_id = local_run_id(name, datetime(2026, 11, 21, 10, 15, tzinfo=UTC))
    assert re.search(r"-20261121t101500-[0-9a-f]{4}$", run_id)
    assert len(run_id) <= RUN_ID_MAX
    assert run_id_fault(run_id) is None


def test_dates_in_yaml_become_strings(tmp_path: Path):
    """As in a cluster, whose JSON has no dates."""
    file = tmp_path / "run.yaml"
    file.write_text(HEAD + "spec: {dataset: {source: {synthetic: {start: 2019-01-02}}}}\n")
    request = load_manifest(file).request(datetime.now(UTC))
    assert json.loads(json.dumps(request))["spec"]["dataset"]["source"]["synthetic"]["start"] == "2019-01-02"
