"""The provider of the file, as the source of the run's dataset.

A run reads a dataset of the volume, never a folder of the machine. Qlib's own two sets can be fetched; any
other folder has to be put there.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.adopt.report import RefusedError
from qlib_shadow_runner.contract import DEFAULT_DATA
from qlib_shadow_runner.dataset.qlib_layout import feature_folder
from qlib_shadow_runner.workflow.shapes import shown

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.adopt.report import Report

DATASETS: Final = f"{DEFAULT_DATA}/qlib/qlib_data"
QLIBS_DATA: Final = "~/.qlib/qlib_data"
QLIBS_SETS: Final[Mapping[str, str]] = {f"{QLIBS_DATA}/{region}_data": region for region in ("cn", "us")}
"""The folders that Qlib's documentation gives to its public sets, and their regions."""
DEFAULT_REGION: Final = "cn"
KNOWN: Final = frozenset({"provider_uri", "region"})
DECIDED: Final = {
    "exp_manager": "what a run records is in mlruns of its run folder",
    "kernels": "a run has 1, so that sums have the same order on every machine",
}
"""Why a run decides some arguments by itself."""
WITHOUT_EFFECT: Final = (
    *(
        "expression_cache",
        "dataset_cache",
        "calendar_cache",
        "local_cache_path",
        "mem_cache",
        "clear_mem_cache",
    ),
    *("logging", "redis_", "flask_", "mount_path", "auto_mount", "maxtasksperchild", "joblib_backend"),
    *("default_conf", "skip_if_reg", "timeout"),
)
"""Beginnings of arguments that decide time, memory and logs alone."""


@dataclass(frozen=True)
class Source:
    """spec.dataset, and the folder of the provider if it is on this machine."""

    spec: dict[str, object]
    folder: Path | None


def adopt_source(given: object, report: Report) -> Source:
    """Return the dataset of the run for the file's qlib_init."""
    if given is not None and not isinstance(given, dict):
        raise RefusedError(f"qlib_init is {shown(given)}; it must be a mapping")
    arguments: Mapping[str, Any] = given or {}
    for name, value in arguments.items():
        if name not in KNOWN and value is not None:
            _note(str(name), report)
    region = arguments.get("region") or DEFAULT_REGION
    uri = _daily(arguments.get("provider_uri") or f"{QLIBS_DATA}/cn_data")
    return _source(uri, region, report)


def _note(name: str, report: Report) -> None:
    """Note an argument without its value, which may be a password."""
    place = f"qlib_init.{name}"
    if name in DECIDED:
        report.change(place, f"left out: {DECIDED[name]}")
    elif name.startswith(WITHOUT_EFFECT):
        report.change(place, "left out: a run has its own, and its result does not depend on it")
    else:
        report.leave_out(place, "a run does not take this argument, and imports no code of its user")


def _daily(uri: object) -> str:
    if isinstance(uri, dict):
        found = next((uri[name] for name in ("day", "1d", "1day") if name in uri), None)
        if not isinstance(found, str):
            raise RefusedError(
                f"needs bars of {', '.join(map(str, uri))}, and a dataset has bars of a day", "bars"
            )
        return found
    if not isinstance(uri, str):
        raise RefusedError(f"qlib_init.provider_uri is {shown(uri)}; it must be a folder")
    return uri


def _source(uri: str, region: object, report: Report) -> Source:
    place = "qlib_init.provider_uri"
    folder = _expanded(uri)
    known = {_expanded(path): found for path, found in QLIBS_SETS.items()}.get(folder)
    here = folder if folder is not None and folder.is_dir() else None
    if known == region:
        path = f"{DATASETS}/{known}_data_1d"
        report.change(
            place,
            f"{uri} is the dataset source qlib, Qlib's public set, which the download stage fetches to "
            f"{path}; to use the folder that you have, copy it there and write source: {{existing: {{}}}}",
        )
        return Source({"path": path, "region": region, "source": {"qlib": {"region": known}}}, here)
    path = f"{DATASETS}/{_name_of(uri)}"
    report.change(
        place,
        f"{uri} is the dataset source existing at {path}: copy the folder there, on the volume, before a run",
    )
    return Source({"path": path, "region": region, "source": {"existing": {}}}, here)


def _expanded(uri: str) -> Path | None:
    try:
        return Path(uri.removeprefix("file://")).expanduser()
    except (RuntimeError, ValueError):  # no home of that name
        return None


def _name_of(uri: str) -> str:
    """Return the last part of a path as a folder's name on the volume."""
    last = re.sub(r"[^A-Za-z0-9._-]+", "_", uri.rstrip("/").rpartition("/")[2])
    return re.sub("^[^A-Za-z0-9_]+", "", last)[:100] or "my_data"


def kept_if_there(source: Source, field: str, name: str, report: Report) -> str | None:
    """Return a market or a benchmark, or None where the provider is here and does not have it."""
    if source.folder is None or not re.fullmatch(r"[A-Za-z0-9^._=-]+", name):
        return name
    where = f"instruments/{name.lower()}.txt" if field == "market" else f"features/{feature_folder(name)}"
    if (source.folder / where).exists() or (source.folder / where.replace(name.lower(), name)).exists():
        return name
    report.leave_out(
        field,
        f"{name}: {source.folder} has no {where}; spec.workflow.{field} is auto, which finds one",
    )
    return None
