"""Writes into the chart's values.schema.json the forms of `runs` that the table of fields describes.

Run it with `python -m tests.contract.values_schema`.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.contract.crd_file import schema_of
from tests.contract.values_page import CHART

from qlib_shadow_operator.runs.pods import PodDefaults

FILE: Final = CHART / "values.schema.json"
FIELDS: Final = ("tolerations", "affinity", "topologySpreadConstraints")
"""The objects and lists; the other values are simple, and written by hand."""
ONLY_OF_A_CRD: Final = ("description", "format")


def file() -> str:
    """Return the whole schema."""
    schema = json.loads(FILE.read_text())
    runs = schema["properties"]["runs"]["properties"]
    runs |= {name: plain(schema_of(PodDefaults, "runs")["properties"][name]) for name in FIELDS}
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"


def plain(schema: dict[str, Any]) -> dict[str, Any]:
    """Return a schema of the CRD as Helm reads it: without descriptions and rules, and closed."""
    kept = {
        name: value
        for name, value in schema.items()
        if name not in ONLY_OF_A_CRD and not name.startswith("x-kubernetes-")
    }
    if "properties" in kept:
        kept["properties"] = {name: plain(one) for name, one in kept["properties"].items()}
        kept["additionalProperties"] = False
    if "items" in kept:
        kept["items"] = plain(kept["items"])
    if isinstance(kept.get("additionalProperties"), dict):
        kept["additionalProperties"] = plain(kept["additionalProperties"])
    return kept


if __name__ == "__main__":
    FILE.write_text(file())
