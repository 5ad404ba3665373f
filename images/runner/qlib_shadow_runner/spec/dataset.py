"""spec.dataset: which data, from where, and how fresh."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import StrEnum
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import DEFAULT_DATA, DEFAULT_DATASET_PATH, SHORT_FINGERPRINT
from qlib_shadow_runner.dataset.quality.policy import Policy, parse_policy
from qlib_shadow_runner.dataset.sources import SOURCES, Source, parse_source
from qlib_shadow_runner.fields import check_keys, choice, integer, refuse, text

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.storage.volume import Volume


FIELDS: Final = frozenset(
    {"path", "region", "interval", "refresh", "maxAgeDays", "source", "quality", "version"}
)
NOT_WITH_VERSION: Final = ("source", "refresh", "quality", "maxAgeDays")
"""What says where data comes from and which data will do: the version has its own answers."""
VERSION: Final = rf"[0-9a-f]{{{SHORT_FINGERPRINT},64}}"
REGIONS: Final = ("us", "cn", "tw")
"""What Qlib knows trading rules for."""


class Refresh(StrEnum):
    """When a dataset is built although one is there."""

    IF_MISSING = "IfMissing"
    ALWAYS = "Always"
    NEVER = "Never"


@dataclass(frozen=True)
class DatasetSpec:
    """Which data, and how fresh."""

    path: str = DEFAULT_DATASET_PATH
    region: str = "us"
    interval: str = "1d"
    refresh: Refresh = Refresh.IF_MISSING
    max_age_days: int | None = None
    source: Source = field(default_factory=SOURCES["existing"].default)
    quality: Policy = field(default_factory=Policy)
    version: str | None = None
    """The fingerprint of a version that is there, or its beginning; it takes the place of a source."""

    def at(self, volume: Volume) -> DatasetSpec:
        """Bind the source to this machine's volume."""
        return replace(self, source=self.source.at(volume))


def parse_dataset(raw: Mapping[str, object]) -> DatasetSpec:
    """Read spec.dataset."""
    where = "spec.dataset"
    check_keys(raw, FIELDS, where)
    for name in NOT_WITH_VERSION if "version" in raw else ():
        if name in raw:
            refuse(
                f"{where}.{name} cannot stand beside version, which names data that is there already; "
                "remove one of the two"
            )
    age = raw.get("maxAgeDays")
    source = parse_source(raw.get("source", {"existing": {}}), raw)
    spec = DatasetSpec(
        path=_path(text(raw.get("path", DEFAULT_DATASET_PATH), f"{where}.path")),
        region=choice(raw.get("region", source.claims.get("region", "us")), REGIONS, f"{where}.region"),
        interval=choice(raw.get("interval", "1d"), ("1d",), f"{where}.interval"),
        refresh=Refresh(choice(raw.get("refresh", "IfMissing"), tuple(Refresh), f"{where}.refresh")),
        max_age_days=None if age is None else integer(age, 0, 100_000, f"{where}.maxAgeDays"),
        source=source,
        quality=parse_policy(raw.get("quality", {})),
        version=None if "version" not in raw else _version(raw["version"]),
    )
    for name, value in source.claims.items():
        if raw.get(name, value) != value:
            refuse(f"{where}.{name} is {raw[name]}, but {where}.source is of the {name} {value}; write one")
    return spec


def _version(value: object) -> str:
    if not isinstance(value, str) or not re.fullmatch(VERSION, value, re.ASCII):
        refuse(
            "spec.dataset.version must be the fingerprint of a version, 12 to 64 of the digits 0-9 and a-f "
            f'in quotes, such as "808737d06485", not {value!r}'
        )
    return value


def _path(path: str) -> str:
    if not re.fullmatch(rf"{DEFAULT_DATA}(/[A-Za-z0-9_][A-Za-z0-9._-]*)+", path):
        refuse(
            f'spec.dataset.path "{path}" must lie under {DEFAULT_DATA}, of letters, digits, ".", "_" '
            f'and "-", for example {DEFAULT_DATASET_PATH}'
        )
    return path
