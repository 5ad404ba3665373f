"""From counts to states that programs read, by one run's policy; standard library only, pure."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Final, TypedDict

from qlib_shadow_runner.dataset.quality.checks import RULES, CheckKind, Finding, State
from qlib_shadow_runner.dataset.quality.policy import Policy

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from datetime import date

FINE: Final = "Ok"
STALE_DAYS: Final = 10


class AssessedCheck(TypedDict):
    """One check as it is written down."""

    name: str
    state: str
    count: int
    examples: list[str]


@dataclass(frozen=True)
class Quality:
    """The verdict. engineering and source say where the trouble is, policy whether it is let pass."""

    engineering_state: State
    source_state: State
    policy_state: State
    overall_state: State
    reason_code: str
    action_hint: str
    checks: list[AssessedCheck] = field(default_factory=list)

    def document(self) -> dict[str, object]:
        """Give the verdict as JSON has it."""
        return asdict(self)

    @property
    def refusal(self) -> str | None:
        """Say why the run must not use this data, or None."""
        return self._sentence(State.FAIL) if self.policy_state is State.FAIL else None

    @property
    def warning(self) -> str | None:
        """Say what is odd about data that may be used, or None."""
        return self._sentence(State.WARN) if self.overall_state is State.WARN else None

    def _sentence(self, state: State) -> str:
        found = [_as_document(check) for check in self.checks if check["state"] == state]
        return f"the dataset's quality: {'; '.join(found)}. {self.action_hint}"


def assess(findings: Iterable[Finding], policy: Policy | None = None) -> Quality:
    """Judge what was counted; a check without a finding has not been made and is left out."""
    block = (policy or Policy()).block
    by_name = {finding.name: finding for finding in findings}
    checks = [_assessed(by_name[name], blocks=name in block) for name in RULES if name in by_name]
    worst = _worst(checks)
    return Quality(
        engineering_state=_state_of(checks, CheckKind.ENGINEERING),
        source_state=_state_of(checks, CheckKind.SOURCE),
        policy_state=State.FAIL if any(check["state"] == State.FAIL for check in checks) else State.OK,
        overall_state=State(worst["state"]) if worst else State.OK,
        reason_code=RULES[worst["name"]].reason if worst else FINE,
        action_hint=RULES[worst["name"]].hint if worst else "",
        checks=checks,
    )


def reassess(
    recorded: Mapping[str, object], policy: Policy, *, end: date | None = None, today: date | None = None
) -> Quality:
    """Judge by another policy what a manifest has recorded, with the age that the data has by now."""
    findings = [Finding(check["name"], check["count"], check["examples"]) for check in _recorded(recorded)]
    if end is not None and today is not None:
        findings.append(age(end, today))
    return assess(findings, policy)


def age(end: date, today: date) -> Finding:
    """Count the days since the last bar, where they are too many, or not yet there."""
    days = (today - end).days
    odd = days > STALE_DAYS or days < -1  # in the east it is tomorrow already
    return Finding("stale_end", abs(days) if odd else 0, [f"the last bar is of {end}"] if odd else [])


def _recorded(document: Mapping[str, object]) -> list[AssessedCheck]:
    checks = document.get("checks")
    return checks if isinstance(checks, list) else []


def _assessed(finding: Finding, *, blocks: bool) -> AssessedCheck:
    state = State.OK if not finding.count else State.FAIL if blocks else State.WARN
    return AssessedCheck(name=finding.name, state=state, count=finding.count, examples=finding.examples)


def _worst(checks: Iterable[AssessedCheck]) -> AssessedCheck | None:
    """Find what stands worst; of equals the first in the order of the rules."""
    odd = [check for check in checks if check["state"] != State.OK]
    return next((check for check in odd if check["state"] == State.FAIL), odd[0] if odd else None)


def _state_of(checks: Iterable[AssessedCheck], kind: CheckKind) -> State:
    worst = _worst(check for check in checks if RULES[check["name"]].kind is kind)
    return State(worst["state"]) if worst else State.OK


def _as_document(check: AssessedCheck) -> str:
    shown = ", ".join(check["examples"][:3])
    return f"{check['name']} found {check['count']} {RULES[check['name']].finds}" + (
        f" ({shown})" if shown else ""
    )
