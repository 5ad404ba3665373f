"""Assess findings by a run's policy; pure functions that use only the standard library."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, NotRequired, TypedDict

from qlib_shadow_runner.contract.strict_json import WHOLE
from qlib_shadow_runner.dataset.quality.checks import RULES, CheckKind, Finding, Place, State
from qlib_shadow_runner.dataset.quality.policy import Policy
from qlib_shadow_runner.dataset.quality.waivers import Waived, sentence_of, without_waived

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

FINE: Final = "Ok"
STALE_DAYS: Final = 10


class AssessedCheck(TypedDict):
    """One assessed check as the manifest records it."""

    name: str
    state: str
    count: int
    examples: list[str]
    hint: str
    """What to do about it; empty where nothing was found."""
    places: NotRequired[list[Place]]
    """In a dataset manifest: where the occurrences are, which a run may waive."""


@dataclass(frozen=True)
class Quality:
    """The assessment: where the faults are (engineering or source) and whether the policy accepts them."""

    engineering_state: State
    source_state: State
    policy_state: State
    overall_state: State
    reason_code: str
    action_hint: str
    checks: list[AssessedCheck] = field(default_factory=list)
    waived: list[Waived] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Return the assessment as a JSON object for a run."""
        checks = [{key: value for key, value in check.items() if key != "places"} for check in self.checks]
        return {**asdict(self), "checks": checks}

    def record(self) -> dict[str, object]:
        """Return the assessment as a JSON object for a manifest, by which other policies are applied."""
        return asdict(self)

    @property
    def refusal(self) -> str | None:
        """Return why the run must not use this data, or None."""
        if self.policy_state is not State.FAIL:
            return None
        return f"the dataset's quality: {' '.join(self._sentences(State.FAIL))}"

    @property
    def warnings(self) -> list[str]:
        """Return what is odd about data that may be used, one sentence for each finding."""
        found = self._sentences(State.WARN) if self.overall_state is State.WARN else []
        return [f"the dataset's quality: {sentence}" for sentence in found]

    @property
    def remarks(self) -> list[str]:
        """Return what was waived, and which waivers have no finding."""
        return [sentence_of(waived) for waived in self.waived]

    def _sentences(self, state: State) -> list[str]:
        """Return each finding with what to do about it."""
        return [f"{_found(check)}. {check['hint']}" for check in self.checks if check["state"] == state]


def assess(findings: Iterable[Finding], policy: Policy | None = None) -> Quality:
    """Judge what was counted; a check without a finding has not been made and is left out."""
    policy = policy or Policy()
    left, waived = without_waived(findings, policy.waive)
    by_name = {finding.name: finding for finding in left}
    checks = [_assessed(by_name[name], blocks=name in policy.block) for name in RULES if name in by_name]
    worst = _worst(checks)
    return Quality(
        engineering_state=_state_of(checks, CheckKind.ENGINEERING),
        source_state=_state_of(checks, CheckKind.SOURCE),
        policy_state=State.FAIL if any(check["state"] == State.FAIL for check in checks) else State.OK,
        overall_state=State(worst["state"]) if worst else State.OK,
        reason_code=RULES[worst["name"]].reason if worst else FINE,
        action_hint=RULES[worst["name"]].hint if worst else "",
        checks=checks,
        waived=waived,
    )


def reassess(
    recorded: Mapping[str, object], policy: Policy, *, end: date | None = None, today: date | None = None
) -> Quality:
    """Return the assessment of a manifest's findings by another policy, with the data's age today."""
    findings = [
        Finding(
            check["name"], check["count"], check["examples"], [Place(*one) for one in check.get("places", [])]
        )
        for check in _recorded(recorded)
    ]
    if end is not None and today is not None:
        findings.append(age(end, today))
    return assess(findings, policy)


def age(end: date, today: date) -> Finding:
    """Return the finding about the last bar's age; data from the future counts too."""
    days = (today - end).days
    odd = days > STALE_DAYS or days < -1  # a market in the east may already have tomorrow's bar
    return Finding("stale_end", abs(days) if odd else 0, [f"the last bar is of {end}"] if odd else [])


def warnings_of(recorded: object) -> list[str]:
    """Return a sentence for each check of a recorded assessment that found something, with its remedy."""
    checks = _recorded(recorded) if isinstance(recorded, dict) else []
    odd = [check for check in checks if check["state"] != State.OK]
    return [f"Data quality: {_found(check)}. {RULES[check['name']].hint}" for check in odd]


def _recorded(document: Mapping[str, object]) -> list[AssessedCheck]:
    """Return the checks as they were recorded; what is none of ours, in an edited file, is left out."""
    checks = document.get("checks")
    return [check for check in checks if _is_check(check)] if isinstance(checks, list) else []


def _is_check(value: object) -> bool:
    if not isinstance(value, dict) or not all(isinstance(value.get(key), str) for key in ("name", "state")):
        return False
    count, places = value.get("count"), value.get("places", [])
    counted = isinstance(count, int) and count in WHOLE and _are_texts(value.get("examples"))
    placed = isinstance(places, list) and all(map(_is_place, places))
    return value["name"] in RULES and counted and placed


def _is_place(value: object) -> bool:
    return _are_texts(value) and len(value) == len(Place._fields)  # type: ignore[arg-type]


def _are_texts(value: object) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(one, str) for one in value)


def _assessed(finding: Finding, *, blocks: bool) -> AssessedCheck:
    state = State.OK if not finding.count else State.FAIL if blocks else State.WARN
    return AssessedCheck(
        name=finding.name,
        state=state,
        count=finding.count,
        examples=finding.examples,
        hint=RULES[finding.name].hint if finding.count else "",
        places=finding.places,
    )


def _worst(checks: Iterable[AssessedCheck]) -> AssessedCheck | None:
    """Return the worst check, and of equal ones the first, or None."""
    odd = [check for check in checks if check["state"] != State.OK]
    return next((check for check in odd if check["state"] == State.FAIL), odd[0] if odd else None)


def _state_of(checks: Iterable[AssessedCheck], kind: CheckKind) -> State:
    worst = _worst(check for check in checks if RULES[check["name"]].kind is kind)
    return State(worst["state"]) if worst else State.OK


def _found(check: AssessedCheck) -> str:
    shown = ", ".join(check["examples"][:3])
    return f"{check['name']} found {check['count']} {RULES[check['name']].finds}" + (
        f" ({shown})" if shown else ""
    )
