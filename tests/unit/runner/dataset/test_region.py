"""The region and interval of the spec must agree with those that the source or the dataset declares."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.ensure import check_claims, ensure
from qlib_shadow_runner.dataset.manifest import DatasetManifest, manifest_path
from qlib_shadow_runner.dataset.sources.public import PublicSet
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec

if TYPE_CHECKING:
    from pathlib import Path

    from tests.unit.runner.conftest import MakeDataset

    from qlib_shadow_runner.dataset.asked import DatasetSpec


def dataset(**fields: object) -> DatasetSpec:
    """Parse `spec.dataset`."""
    return parse_spec({"dataset": fields}).dataset


@pytest.mark.parametrize(
    ("fields", "region"),
    [
        ({"source": {"qlib": {}}}, "us"),
        ({"source": {"qlib": {"region": "cn"}}}, "cn"),
        ({"source": {"qlib": {}}, "region": "cn"}, "cn"),
        ({"source": {"qlib": {"region": "cn"}}, "region": "cn"}, "cn"),
    ],
)
def test_region_of_spec_or_source_applies_to_both(fields: dict[str, object], region: str):
    """Where only one is written, it holds for the other."""
    spec = dataset(**fields)
    assert isinstance(spec.source, PublicSet)
    assert (spec.region, spec.source.region) == (region, region)


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"source": {"qlib": {"region": "cn"}}, "region": "us"},
            "us or cn, and the same where both are written (region is us); write one of them",
        ),
        (
            {"source": {"qlib": {}}, "region": "tw"},
            (
                "spec.dataset must have a region that source.qlib has, us or cn, and the same where both are "
                "written (region is tw); write one of them"
            ),
        ),
        ({"source": {"qlib": {"interval": "1min"}}}, "spec.dataset.source.qlib.interval must be one of 1d"),
        ({"interval": "1min"}, "spec.dataset.interval must be one of 1d"),
    ],
)
def test_contradictory_regions_are_refused(fields: dict[str, object], sentence: str):
    """Before anything is fetched."""
    with pytest.raises(StageError) as caught:
        dataset(**fields)
    assert caught.value.reason is Reason.INVALID_SPEC
    assert sentence in caught.value.message


def test_dataset_of_another_region_is_refused(make_dataset: MakeDataset, tmp_path: Path):
    """Also where the run only takes what is there: Chinese limits on American prices are wrong in silence."""
    folder = tmp_path / "us_data_1d"
    make_dataset(5, folder=folder)
    known = ensure(folder, dataset(source={"existing": {}})).manifest
    check_claims(known, dataset(region="cn"))  # it declares no region
    claims = {"region": "cn", "interval": "1d"}
    chinese = replace(known, claims=claims, source="qlib region=cn interval=1d version=v2")
    chinese.write(manifest_path(folder))
    with pytest.raises(StageError) as caught:
        check_claims(chinese, dataset(region="us"))
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.message == (
        "spec.dataset.region is us, but the dataset at /data/qlib/qlib_data/us_data_1d is of the region cn "
        "(qlib region=cn interval=1d version=v2). Set spec.dataset.region to cn, or name another dataset."
    )
    (folder / "instruments" / "few.txt").write_text("AAA\t2020-01-01\t2020-01-07\n")
    again = ensure(folder, dataset(source={"existing": {}}))  # still declared after a new verification
    assert again.manifest.claims == claims
    assert DatasetManifest.read(manifest_path(folder)) == again.manifest
