"""Note which columns of price files have no use, and which files lack a column that becomes a field."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.prices.column_roles import ROLES, WHERE, plain
from qlib_shadow_runner.dataset.prices.other_columns import EXTRA, other_roles
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from qlib_shadow_runner.contract.spec.price_files import PricesSpec
    from qlib_shadow_runner.dataset.prices.conversion_notes import Notes
    from qlib_shadow_runner.dataset.prices.price_rows import PriceRows

NAMELESS: Final = ROLES["date"].weaker | {"level0"}
"""The names that pandas gives a column without a name; it is never missed."""


def note_columns(parts: Sequence[PriceRows], options: PricesSpec, notes: Notes) -> None:
    """Note the columns without a use, and the files without another column; refuse one that no file has."""
    unused = {name for part in parts for name in _unused(part.table.header, part.columns.values())}
    notes.unused_columns = sorted(unused)
    for role, name in other_roles(options).items():
        lacking = [part.file for part in parts if role not in part.columns]
        if len(lacking) == len(parts):
            known = {column for part in parts for column in part.table.header}
            field = "extra" if role.startswith(EXTRA) else "universes"
            refuse(
                f'{WHERE}.{field}: no file has "{name}"; {did_you_mean(name, known)}', Reason.DATASET_INVALID
            )
        if lacking:
            notes.files_without[name] = lacking


def _unused(header: Sequence[str], used: Iterable[str]) -> list[str]:
    taken = set(used)
    return [name for name in header if name not in taken and plain(name) not in NAMELESS]
