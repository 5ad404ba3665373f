"""Where a dataset may come from: one module per source, listed here.

To add a source, write a module with a Source class and put it into SOURCES; the spec, the command
line and the refusal that lists what is available follow from it.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.dataset.sources.archive import Archive
from qlib_shadow_runner.dataset.sources.base import Source, SourceKind
from qlib_shadow_runner.dataset.sources.existing import Existing
from qlib_shadow_runner.dataset.sources.prices import Prices
from qlib_shadow_runner.dataset.sources.public import PublicSet
from qlib_shadow_runner.dataset.sources.synthetic import Synthetic
from qlib_shadow_runner.fields import mapping, refuse
from qlib_shadow_runner.texts import and_then, nearest

if TYPE_CHECKING:
    from collections.abc import Mapping

SOURCES: Final[Mapping[str, SourceKind]] = MappingProxyType(
    {
        "synthetic": SourceKind(Synthetic, Synthetic.parse),
        "archive": SourceKind(Archive.default, Archive.parse),
        "qlib": SourceKind(PublicSet, PublicSet.parse, inherits=("region", "interval")),
        "prices": SourceKind(Prices.default, Prices.parse),
        "existing": SourceKind(Existing, Existing.parse),
    }
)


NOTHING: Final[Mapping[str, object]] = MappingProxyType({})


def parse_source(value: object, dataset: Mapping[str, object] = NOTHING) -> Source:
    """Read `spec.dataset.source`: exactly one known source, which may inherit fields of the dataset."""
    where = "spec.dataset.source"
    raw = mapping(value, where)
    available = ", ".join(sorted(SOURCES))
    if len(raw) != 1:
        given = " and ".join(sorted(raw)) or "none"
        refuse(f"{where} must name exactly one source, not {given}; available here: {available}")
    [(name, parameters)] = raw.items()
    if name not in SOURCES:
        close = nearest(name, SOURCES)
        hint = f'; did you mean "{close}"?' if close else ""
        unknown = f'{where} "{name}" is not available in this version{hint}'
        refuse(and_then(unknown, f"available here: {available}"))
    own = mapping({} if parameters is None else parameters, f"{where}.{name}")
    inherited = {field: dataset[field] for field in SOURCES[name].inherits if field in dataset}
    return SOURCES[name].parse({**inherited, **own})


__all__ = ["SOURCES", "Source", "parse_source"]
