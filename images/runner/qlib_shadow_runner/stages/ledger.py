"""The ledger stage: record in a book, on paper, what the run's signals would have done."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from qlib_shadow_runner.contract import ENV_REQUEST, ENV_TEMPLATE, LEDGERS
from qlib_shadow_runner.printing import print_line
from qlib_shadow_runner.stages.outcome import Outcome, StageContext

if TYPE_CHECKING:
    from qlib_shadow_runner.contract import LedgerResult


def refuse_ledger(context: StageContext) -> None:
    """Refuse, in the first stage of a run, a ledger that could record no night of it.

    In a child: templates are untrusted, so it has no credentials, and this process no Jinja.
    """
    if context.spec.ledger is None:
        return
    stage_input, around = context.stage_input, context.stage_input.environ
    arguments = {
        "ledgers": str(stage_input.folder.parent / LEDGERS),
        "namespace": stage_input.identity.namespace,
    }
    told = {name: around[name] for name in (ENV_REQUEST, ENV_TEMPLATE) if name in around}
    context.supervisor.step(
        "ledger_asked", arguments, environ={**context.environ, **told}, cwd=str(context.scratch)
    )


def ledger(context: StageContext) -> Outcome:
    """Record the night in a child process; every way in which the book takes it is a success."""
    stage_input = context.stage_input
    identity = stage_input.identity
    arguments = {
        "folder": str(context.folder.path),
        "mount": str(stage_input.volume.mount),
        "run_id": identity.run_id,
        "uid": identity.uid,
        "namespace": identity.namespace,
    }
    # The child reads the spec from the environment, as the dataset step does.
    environ = {**context.environ, ENV_REQUEST: stage_input.environ[ENV_REQUEST]}
    report: dict[str, Any] = context.supervisor.step(
        "ledger", arguments, environ=environ, cwd=str(context.scratch)
    )
    for note in report["notes"]:
        print_line(f"note: {note}")
    context.folder.update_metadata(ledger=report)
    return Outcome(str(report["message"]), ledger=cast("LedgerResult", report["result"]))
