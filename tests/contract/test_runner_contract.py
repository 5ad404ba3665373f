"""The one module that both sides share: standard library only, and what it says is what the Jobs do."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from qlib_shadow_operator.runs.jobs import POD_FAILURE_POLICY
from qlib_shadow_operator.runs.reasons import EventReason, OperatorReason
from qlib_shadow_runner import contract
from qlib_shadow_runner.contract import (
    ENV_ARCHIVE_PASSWORD,
    ENV_ARCHIVE_TOKEN,
    ENV_ARCHIVE_USERNAME,
    USER_ERRORS,
    ExitCode,
    Reason,
)
from qlib_shadow_runner.dataset.archive.credentials import VARIABLES
from qlib_shadow_runner.errors import EXIT_CODES


def test_contract_imports_only_the_standard_library():
    """The operator's image has neither Qlib nor pandas."""
    for file in Path(contract.__file__).parent.rglob("*.py"):
        nodes = list(ast.walk(ast.parse(file.read_text())))
        names = {alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names}
        names |= {node.module or "" for node in nodes if isinstance(node, ast.ImportFrom)}
        foreign = {name for name in names if not f"{name}.".startswith(f"{contract.__name__}.")}
        assert {name.partition(".")[0] for name in foreign} <= sys.stdlib_module_names


def test_archive_secret_has_the_variables_of_the_runner():
    """The operator sets what the runner reads."""
    assert (ENV_ARCHIVE_TOKEN, ENV_ARCHIVE_USERNAME, ENV_ARCHIVE_PASSWORD) == VARIABLES


def test_jobs_fail_at_once_on_user_errors():
    """And on no other exit code."""
    [rule] = [rule for rule in POD_FAILURE_POLICY["rules"] if rule["action"] == "FailJob"]
    assert rule["onExitCodes"] == {
        "containerName": "stage",
        "operator": "In",
        "values": sorted(int(code) for code in USER_ERRORS),
    }
    assert {ExitCode.TRANSIENT, ExitCode.OUT_OF_DISK, ExitCode.INTERNAL}.isdisjoint(USER_ERRORS)


def test_every_reason_of_the_runner_has_an_exit_code():
    """A reason without one would end as InternalError."""
    assert set(EXIT_CODES) == set(Reason)


def test_reasons_of_operator_and_runner_are_disjoint():
    """No reason is both the operator's and the runner's."""
    assert {str(one) for one in OperatorReason}.isdisjoint({str(one) for one in Reason})


def test_reasons_are_one_word():
    """As Kubernetes requires, and short enough for an Event."""
    for one in (*OperatorReason, *EventReason, *Reason):
        assert one.isalnum()
        assert one[0].isupper()
        assert len(one) <= 64
