"""The option --prices: files of this machine that are read in place of those that the manifest names.

The manifest stays as it is everywhere: its path is where the same files are on the cluster's volume.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.prices.price_files import price_files_in_place
from qlib_shadow_runner.dataset.sources.prices import Prices
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.storage.volume import Volume

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.cli.run_manifest import RunManifest


def volume_with(data: Path, manifest: RunManifest, prices: Path | None) -> Volume:
    """Return the volume, on which `prices` stands for the price files of the manifest."""
    if prices is None:
        return Volume(data.absolute())
    _source_of(manifest)
    price_files_in_place(prices)
    return Volume(data.absolute(), prices.absolute())


def check_prices(manifest: RunManifest, prices: Path) -> None:
    """Refuse files that are not there, and those without a column that the manifest needs."""
    from qlib_shadow_runner.dataset.prices.price_rows import columns_of, open_table  # noqa: PLC0415 - loads pyarrow

    source = _source_of(manifest)
    for file in price_files_in_place(prices):
        columns_of(open_table(file, str(file)), str(file), source)


def _source_of(manifest: RunManifest) -> Prices:
    source = manifest.parse().dataset.source
    if not isinstance(source, Prices):
        raise StageError(
            Reason.INVALID_SPEC,
            f"{manifest.path} has no spec.dataset.source.prices, whose files --prices would replace. Leave "
            "--prices out, or name that source.",
        )
    return source
