"""Bounds how many series of runs a counter tells apart: its labels stay for as long as the process lives."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, TypeVar

if TYPE_CHECKING:
    from qlib_shadow_operator.loop.cluster_cache import Series

T = TypeVar("T")

OTHER: Final = "Other"
"""Stands for what is beyond a bound. No namespace and no schedule can have this name."""
SERIES_MAX: Final = 200
NAMESPACES_MAX: Final = 200


@dataclass
class BoundedSeries:
    """Gives the first series labels of their own, then the first namespaces, and one label to all others."""

    _series: set[Series] = field(default_factory=set)
    _namespaces: set[str] = field(default_factory=set)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def labels(self, series: Series) -> Series:
        """Return the namespace and the series to count under."""
        namespace = series[0]
        with self._lock:
            if _admits(self._series, series, SERIES_MAX):
                return series
            return (namespace if _admits(self._namespaces, namespace, NAMESPACES_MAX) else OTHER, OTHER)


def _admits(known: set[T], one: T, most: int) -> bool:
    if one not in known and len(known) >= most:
        return False
    known.add(one)
    return True
