"""What the chart makes of values."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from testcluster.commands import run

CHART = Path(__file__).parents[2] / "helm/qlib-shadow-operator"
Objects = dict[tuple[str, str], dict[str, Any]]
Render = Callable[..., Objects]


def by_place(text: str) -> Objects:
    """Sort documents by kind and by namespace/name."""
    found: Objects = {}
    for one in filter(None, yaml.safe_load_all(text)):
        meta = one["metadata"]
        place = f"{meta['namespace']}/{meta['name']}" if "namespace" in meta else meta["name"]
        assert (one["kind"], place) not in found, "two objects would be one"
        found[one["kind"], place] = one
    return found


@pytest.fixture(scope="session")
def render(helm: Path, tmp_path_factory: pytest.TempPathFactory) -> Render:
    """Render the chart with values, as objects by kind and name."""
    folder = tmp_path_factory.mktemp("values")

    def with_values(**values: Any) -> Objects:
        given = folder / "values.json"
        given.write_text(json.dumps(values))
        arguments = ("us", CHART, "--namespace=research", "--kube-version=1.34.0", f"--values={given}")
        return by_place(run(helm, "template", *arguments))

    return with_values
