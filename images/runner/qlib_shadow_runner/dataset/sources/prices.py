"""The source that most people have: their own daily bars, as Parquet or CSV on the volume.

The question is cheap to ask again: names, sizes and times of the files tell that nothing changed. Only
when they differ are the files hashed, and only when the hash differs is the dataset built anew.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import TYPE_CHECKING, Final, Self

from qlib_shadow_runner.dataset.prices.column_roles import ROLES
from qlib_shadow_runner.dataset.prices.fault_texts import broken
from qlib_shadow_runner.dataset.prices.options import DEFAULT_UNIVERSE, Adjust, BadRows, Duplicates, Options
from qlib_shadow_runner.dataset.prices.price_files import content_digest, price_files, stamp
from qlib_shadow_runner.dataset.qlib_layout import ALL
from qlib_shadow_runner.fields import check_keys, choice, mapping, on_volume, refuse, text

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.storage.volume import Volume

CONVERSION: Final = 1
"""Part of the identity: raise it when the conversion changes its bytes."""
WHERE: Final = "spec.dataset.source.prices"
KEYS: Final = frozenset(
    {"path", "columns", "adjust", "benchmark", "benchmarks", "universe", "duplicates", "badRows"}
)
MOST_BENCHMARKS: Final = 100


@dataclass(frozen=True)
class Prices:
    """Files on the volume, and how they are to be read."""

    path: str
    """As the cluster sees it, beginning with /data."""
    options: Options = field(default_factory=Options)
    volume: Volume | None = None
    builds: bool = True
    synthetic: bool = False
    pinned: bool = True
    claims: Mapping[str, str] = field(default_factory=dict)

    @classmethod
    def default(cls) -> Self:
        """Refuse: nobody can guess a path."""
        return cls.parse({})

    @classmethod
    def parse(cls, raw: Mapping[str, object]) -> Self:
        """Read the parameters."""
        check_keys(raw, KEYS, WHERE)
        options = Options(
            columns=_columns(mapping(raw.get("columns", {}), f"{WHERE}.columns")),
            adjust=Adjust(choice(_word(raw.get("adjust", "auto")), tuple(Adjust), f"{WHERE}.adjust")),
            benchmarks=_benchmarks(raw),
            universe=_universe(raw.get("universe", DEFAULT_UNIVERSE)),
            duplicates=Duplicates(
                choice(raw.get("duplicates", "refuse"), tuple(Duplicates), f"{WHERE}.duplicates")
            ),
            bad_rows=BadRows(choice(raw.get("badRows", "refuse"), tuple(BadRows), f"{WHERE}.badRows")),
        )
        if "path" not in raw:
            refuse(
                f'{WHERE} lacks path: where the files lie on the volume, for example "inbox/us_daily.parquet"'
            )
        return cls(on_volume(raw["path"], f"{WHERE}.path", example="inbox/us_daily.parquet"), options)

    def at(self, volume: Volume) -> Self:
        """Bind the path to this machine's volume."""
        return replace(self, volume=volume)

    @cached_property
    def inputs(self) -> str:
        """Stamp the files with the parameters: equal means that nothing changed."""
        return hashlib.sha256(f"{self._parameters} {stamp(self._files)}".encode()).hexdigest()

    @cached_property
    def identity(self) -> str:
        """Name what decides every byte of the dataset: the files' content, and how it is read."""
        content = content_digest(self._files)
        parameters = hashlib.sha256(self._parameters.encode()).hexdigest()
        return f"prices content={content[:32]} parameters={parameters[:12]} adjust={self.options.adjust}"

    def build(self, folder: Path) -> None:
        """Convert, and make sure that nobody wrote to the files meanwhile."""
        from qlib_shadow_runner.dataset.prices.ingest import ingest  # noqa: PLC0415 - numpy and pyarrow only when building

        before, _ = self.inputs, self.identity
        files = self._files
        names = [self.path] if self._place.is_file() else [f"{self.path}/{file.name}" for file in files]
        ingest(files, names, folder, self.options)
        if replace(self).inputs != before:
            broken(
                self.path,
                "changed while it was read. Write new files under another name on the volume, "
                "and rename them when they are whole.",
            )

    @property
    def _parameters(self) -> str:
        """Write down every option that changes a byte."""
        options = self.options
        return json.dumps(
            {
                "conversion": CONVERSION,
                "columns": dict(sorted(options.columns.items())),
                "adjust": options.adjust,
                "benchmarks": sorted(options.benchmarks),
                "universe": options.universe,
                "duplicates": options.duplicates,
                "badRows": options.bad_rows,
            }
        )

    @cached_property
    def _files(self) -> list[Path]:
        assert self.volume is not None, "bound by `at` before it is asked anything"
        return price_files(self._place, self.volume.mount, self.path)

    @property
    def _place(self) -> Path:
        assert self.volume is not None, "bound by `at` before it is asked anything"
        return self.volume.locate(self.path)


def _columns(raw: Mapping[str, object]) -> Mapping[str, str]:
    where = f"{WHERE}.columns"
    check_keys(raw, set(ROLES), where)
    columns = {role: text(name, f"{where}.{role}") for role, name in raw.items()}
    if len(set(columns.values())) < len(columns):
        refuse(f"{where} gives one column two meanings: {json.dumps(columns)}")
    return columns


def _word(value: object) -> object:
    """YAML reads an unquoted `none` as a word, but people write `null` and `no` for it too."""
    return "none" if value is None or value is False else value


def _benchmarks(raw: Mapping[str, object]) -> tuple[str, ...]:
    if "benchmark" in raw and "benchmarks" in raw:
        refuse(f"{WHERE} has both benchmark and benchmarks; give one")
    if "benchmark" in raw:
        return (text(raw["benchmark"], f"{WHERE}.benchmark"),)
    value = raw.get("benchmarks", [])
    if not isinstance(value, list | tuple) or len(value) > MOST_BENCHMARKS:
        refuse(f"{WHERE}.benchmarks must be a list of at most {MOST_BENCHMARKS} symbols, for example [SPY]")
    return tuple(text(name, f"{WHERE}.benchmarks") for name in value)


def _universe(value: object) -> str:
    where = f"{WHERE}.universe"
    name = text(value, where)
    if name == ALL or not re.fullmatch(r"[a-z0-9][a-z0-9_-]{0,39}", name):
        refuse(
            f'{where} "{name}" must be made of lower-case letters, digits, "_" and "-", '
            f"and not be {ALL}, which holds the benchmarks too"
        )
    return name
