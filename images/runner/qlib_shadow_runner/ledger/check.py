"""Check a book: recompute everything in it from its own files, and from prices where a dataset is given."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

    from qlib_shadow_runner.dataset.qlib_layout import Dataset


def verify_book(folder: Path, dataset: Dataset | None = None, head: str | None = None) -> list[str]:
    """Return what does not hold, as sentences that name file and field; none where everything does.

    Without a dataset, what follows from prices is not recomputed. Who can write the volume can forge a whole
    chain; only a head that was kept elsewhere (the run's status, its Event) shows that.
    """
    raise NotImplementedError(folder, dataset, head)
