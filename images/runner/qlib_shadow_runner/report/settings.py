"""The settings of a run by their path: of its metadata, and of the workflow that was run."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import WORKFLOW_FILE
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.untrusted import read_text
from qlib_shadow_runner.workflow.read_yaml import read_document

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

INCIDENTAL: Final = (
    "num_threads", "kernels", "provider_uri", "experiment_name",
    "start_time", "end_time", "segments.train", "segments.valid", "segments.test", "codes",
)  # fmt: skip
"""Suffixes of a workflow's settings that change no result, or follow from segments and market."""


def settings_of(folder: Path, metadata: Mapping[str, object]) -> dict[str, str]:
    """Return each setting of a run by its path; the metadata's come first."""
    found: dict[str, str] = {}
    for key, value in metadata.items():
        found.update(by_path(key, value))
    return {**workflow_settings(folder), **found}


def find_setting(settings: Mapping[str, str], name: str) -> str | None:
    """Return the setting of this path, or the first whose path ends with it."""
    if name in settings:
        return settings[name]
    return next((value for path, value in settings.items() if path.endswith(f".{name}")), None)


def workflow_settings(folder: Path) -> dict[str, str]:
    """Return the settings of the workflow that was run; they are empty if it cannot be read."""
    try:
        settings = by_path("", read_document(read_text(folder, WORKFLOW_FILE)))
        "".join([*settings, *settings.values()]).encode()  # YAML's escapes can make half of a character
    except (OSError, UnicodeEncodeError, StageError):
        return {}
    return {name: value for name, value in settings.items() if not name.endswith(INCIDENTAL)}


def by_path(name: str, value: object) -> dict[str, str]:
    """Return each setting by its path."""
    if isinstance(value, dict):
        inner = [by_path(f"{name}.{key}" if name else str(key), part) for key, part in value.items()]
        return {key: part for found in inner for key, part in found.items()}
    if isinstance(value, list) and any(isinstance(part, dict) for part in value):
        return by_path(name, {str(number): part for number, part in enumerate(value)})
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    return {name: text}
