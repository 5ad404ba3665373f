"""Find the role of each column, from its usual names or from the spec."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.refusals import refuse
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

WHERE: Final = "spec.dataset.source.prices.columns"
SHOWN: Final = 20


@dataclass(frozen=True)
class Role:
    """A role of a column and its usual names; the weaker names count only where no other name matches."""

    names: frozenset[str]
    weaker: frozenset[str] = frozenset()
    required: bool = False


def _role(names: str, weaker: str = "", *, required: bool = False) -> Role:
    return Role(frozenset(names.split()), frozenset(weaker.split(",")) if weaker else frozenset(), required)


ROLES: Final[Mapping[str, Role]] = {
    # pandas writes its index as a first column without a name.
    "date": _role(
        "date datetime timestamp tradedate tradingdate tradingday day time",
        ",unnamed0,indexlevel0,index",
        required=True,
    ),
    "symbol": _role("symbol ticker instrument code sym tic", "name"),
    "open": _role("open openprice o", required=True),
    "high": _role("high highprice h", required=True),
    "low": _role("low lowprice l", required=True),
    "close": _role("close closeprice closingprice c", required=True),
    "volume": _role("volume vol sharevolume v", required=True),
    "adj_close": _role("adjclose adjustedclose closeadj adjcloseprice adjustedcloseprice"),
    "factor": _role("factor adjfactor adjustfactor adjustmentfactor"),
    "vwap": _role("vwap vw"),
}
PRICES: Final = ("open", "high", "low", "close", "vwap")
"""The roles that are prices; all but vwap are required."""
NEEDED: Final = tuple(role for role, rules in ROLES.items() if rules.required)


def map_columns(
    found: Sequence[str], wanted: Mapping[str, str], file: str, taken: Collection[str] = ()
) -> dict[str, str]:
    """Return the file's column for every role that it has.

    `wanted` is the mapping in the spec; the columns in `taken` have another use.
    """
    mapped = {role: _named(found, name, role, file) for role, name in wanted.items()}
    rest = [name for name in found if name not in mapped.values() and name not in taken]
    for role in ROLES:
        if role not in mapped:
            name = _guess(rest, role, file)
            if name is not None:
                mapped[role] = name
    missing = [role for role in NEEDED if role not in mapped]
    if missing:
        example = "{" + ", ".join(f'{role}: "…"' for role in missing) + "}"
        refuse(
            f"{file} has no column for {', '.join(missing)}; its columns are {listed_names(found)}. "
            f"{_shape_needed(mapped, rest)}Name the columns: {WHERE}: {example}",
            Reason.DATASET_INVALID,
        )
    return mapped


def _shape_needed(mapped: Mapping[str, str], rest: Sequence[str]) -> str:
    """Return what shape a file needs; one with columns for each symbol has no column of prices."""
    needed = "One row is one day of one symbol. "
    if mapped.keys() & PRICES or len(rest) < len(NEEDED):
        return needed
    return f"{needed}A file with columns for each symbol must be reshaped: see docs/prices.md, Other shapes. "


def _named(found: Sequence[str], name: str, role: str, file: str) -> str:
    exact = [column for column in found if column == name]
    alike = exact or [column for column in found if column.strip().lower() == name.strip().lower()]
    if not alike:
        refuse(
            f'{WHERE}.{role} is "{name}", which {file} does not have; {did_you_mean(name, found)}',
            Reason.DATASET_INVALID,
        )
    return _only(alike, role, file)


def _guess(found: Sequence[str], role: str, file: str) -> str | None:
    for names in (ROLES[role].names, ROLES[role].weaker):
        alike = [column for column in found if plain(column) in names]
        if alike:
            return _only(alike, role, file)
    return None


def _only(alike: Sequence[str], role: str, file: str) -> str:
    if len(alike) > 1:
        shown = " and ".join(f'"{name}"' for name in alike)
        refuse(
            f"{file} has {len(alike)} columns for {role}: {shown}. "
            f'Choose one: {WHERE}: {{{role}: "{alike[0]}"}}',
            Reason.DATASET_INVALID,
        )
    return alike[0]


def plain(name: str) -> str:
    """Return a name without case, spaces and punctuation: `Adj Close` is adjclose."""
    return "".join(letter for letter in name.lower() if letter.isalnum())


def listed_names(names: Sequence[str]) -> str:
    """Return names for a sentence, with the number of those that are too many."""
    shown = ", ".join(f'"{name}"' for name in names[:SHOWN])
    return f"{shown} and {len(names) - SHOWN} more" if len(names) > SHOWN else shown or "none"
