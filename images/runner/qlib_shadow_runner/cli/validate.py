"""`qlib-shadow validate`: print every fault of a manifest that can be found without the data."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qlib_shadow_runner.cli.prices_in_place import check_prices
from qlib_shadow_runner.cli.run_manifest import manifest_faults, manifest_of, read_documents, the_run
from qlib_shadow_runner.cli.user_template import template_of
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.printing import print_error, print_json, print_line
from qlib_shadow_runner.spec import spec_faults
from qlib_shadow_runner.stages.ledger_rules import ledger_faults, ledger_warnings
from qlib_shadow_runner.workflow.description import strategy_of
from qlib_shadow_runner.workflow.prepare import render_without_data

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.spec import RunSpec
    from qlib_shadow_runner.workflow.templates import Template


def print_validation(file: Path, template: Path | None, *, prices: Path | None, as_json: bool) -> int:
    """Print that the manifest is valid, or raise all of its faults as one error."""
    documents = read_documents(file)
    faults = find_faults(file, documents, template)
    if faults:
        raise _as_one_error(file, faults)
    manifest = manifest_of(file, documents)
    if prices is not None:
        check_prices(manifest, prices)
    name, warnings = manifest.name, _warnings(manifest.parse(), template_of(manifest, template))
    if as_json:
        told = {"warnings": warnings} if warnings else {}
        print_json({"file": str(file), "name": name, "valid": True, **told})
    else:
        print_line(f"{file}: QlibShadowRun {name} is valid")
        for warning in warnings:
            print_error(f"warning: {warning}")
    return ExitCode.DONE


def find_faults(file: Path, documents: list[Mapping[str, object]], template: Path | None) -> list[StageError]:
    """Return the faults outside of the spec and of each field; without any, those of the whole spec."""
    document = the_run(file, documents)
    faults = manifest_faults(file, document)
    spec = document.get("spec", {})
    if isinstance(spec, dict):
        faults += spec_faults(spec)
    if faults:
        return faults
    manifest = manifest_of(file, documents)
    parsed = manifest.parse()
    try:
        research = render_without_data(parsed, template_of(manifest, template))
    except StageError as fault:
        return [fault, *(ledger_faults(parsed.ledger, None) if parsed.ledger else [])]
    return ledger_faults(parsed.ledger, strategy_of(research.workflow)) if parsed.ledger else []


def _warnings(spec: RunSpec, template: Template) -> list[str]:
    """Return what is no fault and will hardly be meant; without a topk, how many are held is for the data."""
    if spec.ledger is None or (spec.ledger.targets.topk or spec.workflow.strategy.topk) is None:
        return []
    return ledger_warnings(spec.ledger, strategy_of(render_without_data(spec, template).workflow))


def _as_one_error(file: Path, faults: list[StageError]) -> StageError:
    """Return one error for all faults; its reason is that of the first."""
    if len(faults) == 1:
        return faults[0]
    listed = (f"  - {fault.message}" for fault in faults)
    return StageError(faults[0].reason, f"{file} has {len(faults)} faults:", *listed)
