"""Find the columns that are no part of a bar: further fields, memberships of universes, and unused ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.prices.column_roles import ROLES, WHERE, listed_names, plain
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from qlib_shadow_runner.contract.spec.sources import PricesSpec
    from qlib_shadow_runner.dataset.prices.conversion_notes import Notes
    from qlib_shadow_runner.dataset.prices.price_rows import PriceRows

EXTRA: Final = "$"
MEMBERSHIP: Final = "@"
"""How the roles of these columns begin, so that no name is that of a bar's role."""
KEYS: Final = ("date", "symbol")
NAMELESS: Final = ROLES["date"].weaker | {"level0"}
"""The names that pandas gives a column without a name; it is never missed."""


def is_text_role(role: str) -> bool:
    """Return whether a column with this role is read as texts and not as numbers."""
    return role in KEYS or role.startswith(MEMBERSHIP)


def other_roles(options: PricesSpec) -> dict[str, str]:
    """Return the name in the spec of each other column, by role."""
    return {
        **{EXTRA + name: name for name in options.extra},
        **{MEMBERSHIP + name: name for name in options.memberships},
    }


def map_others(found: Sequence[str], wanted: Mapping[str, str], file: str) -> dict[str, str]:
    """Return the file's column for every other role that it has."""
    mapped: dict[str, str] = {}
    for role, name in wanted.items():
        alike = [column for column in found if plain(column) == plain(name)]
        if len(alike) > 1 or set(alike) & set(mapped.values()):
            refuse(
                f'{WHERE}: "{name}" fits more than one use or column in {file}: {listed_names(alike)}. '
                "Rename the columns there.",
                Reason.DATASET_INVALID,
            )
        if alike:
            mapped[role] = alike[0]
    return mapped


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
