"""The sources of datasets, one module each.

To add a source, describe its fields in contract/spec/sources.py, write a class that adds the members of
base.Source to them, and put it into SOURCES.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.dataset.sources.archive import Archive
from qlib_shadow_runner.dataset.sources.base import Source
from qlib_shadow_runner.dataset.sources.existing import Existing
from qlib_shadow_runner.dataset.sources.prices import Prices
from qlib_shadow_runner.dataset.sources.public import PublicSet
from qlib_shadow_runner.dataset.sources.synthetic import Synthetic

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract.spec.dataset import DatasetFields

SOURCES: Final[Mapping[str, Any]] = MappingProxyType(
    {"synthetic": Synthetic, "archive": Archive, "qlib": PublicSet, "prices": Prices, "existing": Existing}
)


def source_of(asked: DatasetFields) -> Source:
    """Return the source that the spec names; the public set takes the dataset's region by default."""
    if asked.sources is None:
        return Existing()
    [name] = asked.sources.given
    fields = vars(getattr(asked.sources, name))
    if name == "qlib" and "region" in asked.given - fields["given"]:
        fields = {**fields, "region": asked.region}
    source: Source = SOURCES[name](**fields)
    return source


__all__ = ["SOURCES", "Source", "source_of"]
