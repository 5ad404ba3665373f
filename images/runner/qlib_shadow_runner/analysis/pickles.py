"""Read Qlib's pickles without Qlib, and without running the code that a pickle names.

Arrays, tables and dates are restored: the functions that make them are listed here by full name. An
object of any other class becomes an Opaque, of which only the state is kept: that is enough for positions and
for the text of a trained model, and takes milliseconds where importing Qlib takes seconds.
"""

from __future__ import annotations

import pickle
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.storage.untrusted import ARTIFACT, open_file

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MOVED: Final[Mapping[str, str]] = {
    "numpy.core.multiarray": "numpy._core.multiarray",
    "numpy.core.numeric": "numpy._core.numeric",
    "pandas.core.arrays.datetimes": "pandas.arrays",
    "pandas.core.arrays.string_": "pandas",
    "pandas.core.arrays.string_arrow": "pandas.arrays",
    "pandas.core.frame": "pandas",
    "pandas.core.indexes.multi": "pandas",
    "pandas.core.indexes.range": "pandas",
    "pandas.core.series": "pandas",
}
"""The modules in which older versions have the functions below."""
KNOWN: Final[Mapping[str, frozenset[str]]] = {
    module: frozenset(names.split())
    for module, names in {
        "builtins": "bytearray slice",
        "collections": "OrderedDict defaultdict",
        "datetime": "date datetime time timedelta timezone",
        "numpy": "dtype ndarray",
        "numpy._core.multiarray": "_reconstruct scalar",
        "numpy._core.numeric": "_frombuffer",
        "pandas": "DataFrame DatetimeIndex Index MultiIndex RangeIndex Series StringDtype",
        "pandas._libs.arrays": "__pyx_unpickle_NDArrayBacked",
        "pandas._libs.internals": "_unpickle_block",
        "pandas._libs.tslibs.nattype": "_nat_unpickle",
        "pandas._libs.tslibs.offsets": "BusinessDay Day",
        "pandas._libs.tslibs.timestamps": "_unpickle_timestamp",
        "pandas.arrays": "ArrowStringArray DatetimeArray",
        "pandas.core.indexes.base": "Index _new_Index",
        "pandas.core.indexes.datetimes": "DatetimeIndex _new_DatetimeIndex",
        "pandas.core.internals.managers": "BlockManager SingleBlockManager",
        "pyarrow.lib": "_restore_array chunked_array py_buffer type_for_alias",
    }.items()
}
"""The classes and functions that make tables, arrays and dates; they only hold data."""


class Opaque:
    """The state of an object whose class is not loaded."""

    def __init__(self, *_: object, **__: object) -> None:
        self.state: dict[str, Any] = {}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.state = state


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        """Return what is listed, else Opaque; a dotted name could reach anything and is never listed."""
        home = MOVED.get(module, module)
        return super().find_class(home, name) if name in KNOWN.get(home, ()) else Opaque


def read_opaquely(path: Path) -> Any:
    """Return the content of a pickle."""
    with open_file(path.parent, path.name, ARTIFACT) as stream:
        return _Unpickler(stream).load()
