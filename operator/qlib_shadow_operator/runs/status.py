"""Compose a run's new status from the check results and the rule result."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from qlib_shadow_operator.runs.conditions import compose_conditions
from qlib_shadow_operator.runs.model import Status
from qlib_shadow_operator.runs.names import Phase, StageState
from qlib_shadow_operator.runs.print_columns import summarize
from qlib_shadow_operator.runs.stage_view import is_same_wait
from qlib_shadow_runner.contract import Reason

if TYPE_CHECKING:
    from datetime import datetime

    from qlib_shadow_operator.runs.decisions import RuleResult, RunView
    from qlib_shadow_operator.runs.model import Figures, StageStatus


def compose(view: RunView, rule_result: RuleResult) -> Status:
    """Return the new status, which may equal the old one."""
    old = view.run.status
    if rule_result.keep_status:
        # Only suspend and the two times to live can have changed, and the rules have read them.
        return replace(old, observed_generation=view.run.generation) if not view.run.deleting else old
    stages = _stages(view, rule_result)
    over = rule_result.complete or rule_result.failure is not None
    phase = _phase(rule_result, stages)
    dataset, metrics, ledger = view.dataset, _figures(view, "metrics"), _figures(view, "ledger")
    return Status(
        observed_generation=view.run.generation,
        phase=phase,
        summary=summarize(_current_stage(rule_result, stages), dataset, metrics, ledger),
        run_id=view.run.run_id if view.run.fault is None else None,
        artifact_path=None if view.run.fault or _folder_is_taken(stages) else view.run.artifact_path,
        start_time=old.start_time or _start_time(stages),
        completion_time=view.now if over else None,
        conditions=compose_conditions(view, rule_result, stages, dataset, ledger),
        stages=stages,
        dataset=dataset,
        metrics=metrics,
        model=_figures(view, "model"),
        ledger=ledger,
        config_hash=_latest(view, "config_hash") or old.config_hash,
        git_commit=_latest(view, "git_commit") or old.git_commit,
        image_id=next((f.image_id for f in reversed(view.check_results) if f.image_id), old.image_id),
    )


def _folder_is_taken(stages: tuple[StageStatus, ...]) -> bool:
    """Return whether the run folder belongs to another run, and so holds nothing of this one."""
    return any(one.reason == Reason.RUN_FOLDER_TAKEN for one in stages)


def _stages(view: RunView, rule_result: RuleResult) -> tuple[StageStatus, ...]:
    changed = rule_result.stage
    found = [finding.status for finding in view.check_results]
    news = (changed if changed and changed.name is one.name else one for one in found)
    return tuple(_with_transition_time(view.run.status.stage(one.name), one, view.now) for one in news)


def _with_transition_time(old: StageStatus, new: StageStatus, now: datetime) -> StageStatus:
    return new if is_same_wait(old, new) else replace(new, last_transition_time=now)


def _phase(rule_result: RuleResult, stages: tuple[StageStatus, ...]) -> Phase:
    if rule_result.complete:
        return Phase.COMPLETE
    if rule_result.failure:
        return Phase.FAILED
    if rule_result.suspended:
        return Phase.SUSPENDED
    begun = {StageState.RUNNING, StageState.SUCCEEDED}
    return Phase.RUNNING if any(one.state in begun for one in stages) else Phase.PENDING


def _current_stage(rule_result: RuleResult, stages: tuple[StageStatus, ...]) -> str | None:
    if rule_result.complete:
        return None
    return next((str(one.name) for one in stages if one.state is not StageState.SUCCEEDED), None)


def _start_time(stages: tuple[StageStatus, ...]) -> datetime | None:
    return next((one.start_time for one in stages if one.start_time), None)


def _figures(view: RunView, name: str) -> Figures:
    """Return metrics, model or ledger of the last stage that tells them, else those that are known."""
    found: Figures = getattr(view.run.status, name)
    for finding in view.check_results:
        if finding.result and (told := getattr(finding.result, name)):
            found = told
    return found


def _latest(view: RunView, name: str) -> str | None:
    results = [finding.result for finding in view.check_results if finding.result]
    found: list[str] = [value for result in results if (value := getattr(result, name))]
    return found[-1] if found else None
