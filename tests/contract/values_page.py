"""Writes the chart's README.md from its values.yaml: every value, its default, what it means.

Run it with `python -m tests.contract.values_page`.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml

if TYPE_CHECKING:
    from collections.abc import Iterator

CHART: Final = Path(__file__).parents[2] / "helm/qlib-shadow-operator"
PAGE: Final = CHART / "README.md"
HEAD: Final = """\
# The chart qlib-shadow-operator

Installs the operator, its rights, a claim for `/data` and the network policy. `docs/install.md` tells
how to install, upgrade and remove it; the table is made from `values.yaml`.

| value | default | meaning |
|---|---|---|
"""
FIELD: Final = re.compile(r"^(?P<indent> *)(?P<name>[A-Za-z]+):")


def page() -> str:
    """Return the page."""
    text = (CHART / "values.yaml").read_text()
    values = yaml.safe_load(text)
    rows = (f"| `{path}` | {default(values, path)} | {meaning} |" for path, meaning in described(text))
    return HEAD + "\n".join(rows) + "\n"


def described(text: str) -> Iterator[tuple[str, str]]:
    """Yield each value with the comment above it, which begins with `# --`."""
    path: list[str] = []
    comment: list[str] = []
    for line in text.splitlines():
        stripped = line.strip()
        if stripped.startswith("# -- "):
            comment = [stripped.removeprefix("# -- ")]
        elif stripped.startswith("# ") and comment:
            comment.append(stripped.removeprefix("# "))
        elif field := FIELD.match(line):
            depth = len(field["indent"]) // 2
            path = [*path[:depth], field["name"]]
            if comment:
                yield ".".join(path), " ".join(comment).replace("|", "\\|")
            comment = []


def default(values: Any, path: str) -> str:
    """Return a default as a user would write it on the command line."""
    for name in path.split("."):
        values = values[name]
    return f"`{json.dumps(values)}`"


if __name__ == "__main__":
    PAGE.write_text(page())
