"""Which of Alpha158's factors a handler makes, in the words of Qlib's `Alpha158DL.get_feature_config`.

Qlib's own handlers have no such argument. Ours take it as `features`, and check it here also when plain
qrun makes them. Imports no Qlib.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.workflow.read_yaml import refuse
from qlib_shadow_runner.workflow.shapes import Keys, Listed, Shape, exactly, shown, whole

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

FARTHEST: Final = 1_000
PRICES: Final = ("OPEN", "HIGH", "LOW", "CLOSE", "VWAP")
# fmt: off
OPERATORS: Final = (
    "ROC", "MA", "STD", "BETA", "RSQR", "RESI", "MAX", "LOW", "QTLU", "QTLD", "RANK", "RSV",
    "IMAX", "IMIN", "IMXD", "CORR", "CORD", "CNTP", "CNTN", "CNTD", "SUMP", "SUMN", "SUMD",
    "VMA", "VSTD", "WVMA", "VSUMP", "VSUMN", "VSUMD",
)
# fmt: on
BARS: Final = ("KMID", "KLEN", "KMID2", "KUP", "KUP2", "KLOW", "KLOW2", "KSFT", "KSFT2")
NAMED_DIFFERENTLY: Final = {"LOW": "MIN"}
"""Operators whose columns do not have their name."""
QLIBS_CHOICE: Final[Mapping[str, Mapping[str, Any]]] = {
    "kbar": {},
    "price": {"windows": [0], "feature": ["OPEN", "HIGH", "LOW", "VWAP"]},
    "rolling": {},
}
"""The factors of Qlib's own handler."""
USUAL_DAYS: Final = range(5)
USUAL_WINDOWS: Final = (5, 10, 20, 30, 60)


@dataclass(frozen=True)
class Different:
    """A list in which no value occurs twice: that would make two columns of one name."""

    of: Listed

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return f"{self.of.words}, none twice"

    def check(self, value: object, where: str) -> None:
        """Refuse a list that does not fit, or that has a value twice."""
        self.of.check(value, where)
        assert isinstance(value, list), "it is a list of words or numbers"
        if len(set(value)) < len(value):
            refuse(f"{where} is {shown(value)}; it names something twice")


@dataclass(frozen=True)
class Factors:
    """Alpha158's parts; at least one column must come of them."""

    of: Keys

    @property
    def words(self) -> str:
        """Return what fits, as the middle of a sentence."""
        return self.of.words

    def check(self, value: object, where: str) -> None:
        """Refuse parts that do not fit, or that leave no factor."""
        self.of.check(value, where)
        assert isinstance(value, dict), "it is a mapping"
        if not value:
            refuse(f"{where} names no factors; give it {self.of.words}, or leave it out for all of Alpha158")
        rolling = value.get("rolling")
        if rolling is not None and not set(rolling.get("include", OPERATORS)) - set(
            rolling.get("exclude", ())
        ):
            refuse(f"{where}.rolling leaves no operator; include one that is not excluded, or none at all")


def _some(of: Shape) -> Different:
    return Different(Listed(of, 1, 100))


DAYS: Final = _some(whole(0, FARTHEST))
WINDOWS: Final = _some(whole(2, FARTHEST))
OPERATOR: Final = exactly(*OPERATORS)
FACTORS: Final = Factors(
    Keys(
        {
            "kbar": Keys(),
            "price": Keys({"windows": DAYS, "feature": _some(exactly(*PRICES))}),
            "volume": Keys({"windows": DAYS}),
            "rolling": Keys({"windows": WINDOWS, "include": _some(OPERATOR), "exclude": _some(OPERATOR)}),
        }
    )
)


def look_back(features: Mapping[str, Mapping[str, list[int]]]) -> int:
    """Return the longest window of the chosen factors."""
    days = [features[part].get("windows", USUAL_DAYS) for part in ("price", "volume") if part in features]
    windows = [features["rolling"].get("windows", USUAL_WINDOWS)] if "rolling" in features else []
    return max((most for some in [*days, *windows] for most in some), default=0)


def names_of(features: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    """Yield the names of the columns of the chosen factors."""
    if "kbar" in features:
        yield from BARS
    price, volume, rolling = (features.get(part) for part in ("price", "volume", "rolling"))
    if price is not None:
        yield from (
            f"{one}{day}" for one in price.get("feature", PRICES) for day in price.get("windows", USUAL_DAYS)
        )
    if volume is not None:
        yield from (f"VOLUME{day}" for day in volume.get("windows", USUAL_DAYS))
    if rolling is not None:
        chosen = set(rolling.get("include", OPERATORS)) - set(rolling.get("exclude", ()))
        names = [NAMED_DIFFERENTLY.get(one, one) for one in OPERATORS if one in chosen]
        yield from (f"{name}{days}" for name in names for days in rolling.get("windows", USUAL_WINDOWS))
