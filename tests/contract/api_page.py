"""Writes docs/api.md from the CRD: every field of a QlibShadowRun, its type, what it means, what is refused.

Run it with `python -m tests.contract.api_page`.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT: Final = Path(__file__).parents[2]
PAGE: Final = ROOT / "docs/api.md"
HEAD: Final = """\
# QlibShadowRun, field by field

`qlibshadow.io/v1alpha1`, short name `qsr`, namespaced. This page is made from the CRD, as `kubectl explain
qsr.spec --recursive` is. Every field of the spec is optional. After a run has started, only `suspend`,
`ttlSecondsAfterFinished` and `jobTtlSeconds` can be changed. What a run may choose of `image`, `storage`,
secrets and `stages` is [the installer's decision](security.md#what-a-run-may-choose).
"""
TABLE: Final = "| field | type | meaning |\n|---|---|---|\n"


def page() -> str:
    """Return the page."""
    crd = yaml.safe_load((ROOT / "manifests/crd/qlibshadowruns.yaml").read_text())
    root = crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"]
    parts = [HEAD]
    for section in ("spec", "status"):
        schema = root["properties"][section]
        parts.append(
            f"\n## {section}\n\n{schema['description']}\n\n| field | type | meaning |\n|---|---|---|\n"
        )
        parts += [f"{row}\n" for row in rows(schema, "")]
    parts.append("\n## What is refused at once\n\nBesides wrong types and values out of bounds:\n\n")
    parts += sorted({f"- {message}\n" for message in messages(root)})
    return "".join(parts)


def rows(schema: dict[str, Any], prefix: str) -> Iterator[str]:
    """Yield a row for each field and the fields inside it."""
    for name, field in schema["properties"].items():
        path = f"{prefix}{name}"
        yield f"| `{path}` | {kind(field)} | {' '.join(field['description'].split())} |".replace(
            "\\|", "&#124;"
        )
        items = field.get("items", {})
        if "properties" in field:
            yield from rows(field, f"{path}.")
        elif "properties" in items:
            yield from rows(items, f"{path}[].")


def kind(field: dict[str, Any]) -> str:
    """Return a field's type with its bounds."""
    if "enum" in field:
        return ", ".join(f"`{one}`" for one in field["enum"])
    name = field.get("type", "text or number")
    if name == "array":
        return f"list of {kind(field['items'])}"
    if name == "object" and "additionalProperties" in field:
        return f"map of {kind(field['additionalProperties'])}"
    if name == "string":
        return "time" if field.get("format") == "date-time" else "text"
    bounds = [f"{field[end]:,}" if end in field else "" for end in ("minimum", "maximum")]
    return f"{name}, {bounds[0]} to {bounds[1]}".rstrip() if all(bounds) else name


def messages(schema: dict[str, Any]) -> Iterator[str]:
    """Yield the messages of all rules."""
    for rule in schema.get("x-kubernetes-validations", ()):
        yield " ".join(rule["message"].split())
    inner = schema.get("properties", {}).values()
    for field in (*inner, *([schema["items"]] if "items" in schema else [])):
        yield from messages(field)


if __name__ == "__main__":
    PAGE.write_text(page())
