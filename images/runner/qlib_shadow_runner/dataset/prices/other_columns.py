"""Find the columns that are no part of a bar: further fields and memberships of universes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.prices.column_roles import WHERE, listed_names, plain
from qlib_shadow_runner.refusals import refuse

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from qlib_shadow_runner.contract.spec.price_files import PricesSpec

EXTRA: Final = "$"
MEMBERSHIP: Final = "@"
"""How the roles of these columns begin, so that no name is that of a bar's role."""
KEYS: Final = ("date", "symbol")


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
