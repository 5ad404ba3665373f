"""Record and describe the dataset that a run uses, in the log, the metadata and the result."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from qlib_shadow_runner.contract import SHORT_FINGERPRINT, DatasetResult
from qlib_shadow_runner.dataset.sources.prices import Prices
from qlib_shadow_runner.printing import print_error, print_line

if TYPE_CHECKING:
    from qlib_shadow_runner.dataset.ensure import ResolvedDataset
    from qlib_shadow_runner.dataset.quality.assess import Quality
    from qlib_shadow_runner.stages.outcome import StageContext


def introduce_dataset(
    context: StageContext, resolved: ResolvedDataset, quality: Quality, warning: str | None = None
) -> DatasetResult:
    """Log warnings and notes about the dataset, record its facts, and return them for the result."""
    for oddity in filter(None, (warning, *quality.warnings)):
        print_error(f"warning: {oddity}")
    notes = resolved.manifest.notes
    for note in (*notes, *quality.remarks):
        print_line(f"note: {note}")
    found, in_place = dataset_result(context, resolved), prices_in_place(context)
    if in_place:
        print_line(f"prices are read in place from {in_place}")
    context.folder.update_metadata(
        **dataset_metadata(found),
        dataset_feed=resolved.manifest.feed,
        dataset_quality=quality.document(),
        dataset_notes=notes,
        dataset_prices_read_from=in_place,
    )
    print_line(dataset_sentence(found))
    return {**found, **quality_result(quality)}


def dataset_sentence(found: DatasetResult) -> str:
    """Return a one-line description of the dataset."""
    source = found["source"].partition(" ")[0]
    return (
        f"{source} {found['instruments']} \N{MULTIPLICATION SIGN} {found['days']:,} days "
        f"to {found['calendarEnd']}, fingerprint {found['fingerprint'][:SHORT_FINGERPRINT]}"
    )


def dataset_result(context: StageContext, resolved: ResolvedDataset) -> DatasetResult:
    """Return the facts about the dataset, with paths as in the cluster."""
    manifest = resolved.manifest
    return DatasetResult(
        path=context.spec.dataset.path,
        resolvedPath=context.stage_input.volume.name(resolved.folder),
        fingerprint=manifest.fingerprint,
        source=manifest.source,
        calendarStart=manifest.calendar_start,
        calendarEnd=manifest.calendar_end,
        days=manifest.days,
        instruments=manifest.instruments,
        ageDays=manifest.age_days(datetime.now(UTC).date()),
    )


def prices_in_place(context: StageContext) -> str | None:
    """Return the path that was read in place of the price files of the spec, or None."""
    prices = context.stage_input.volume.prices
    return str(prices) if prices and isinstance(context.spec.dataset.source, Prices) else None


def quality_result(quality: Quality) -> DatasetResult:
    """Return the part of the quality assessment that the resource's status shows."""
    return DatasetResult(
        engineeringState=quality.engineering_state,
        sourceState=quality.source_state,
        policyState=quality.policy_state,
        overallState=quality.overall_state,
        reasonCode=quality.reason_code,
        actionHint=quality.action_hint,
    )


def dataset_metadata(found: DatasetResult) -> dict[str, object]:
    """Return the facts under their names in RUN_METADATA.json."""
    return {
        "dataset_path": found["path"],
        "dataset_resolved_path": found["resolvedPath"],
        "dataset_fingerprint": found["fingerprint"],
        "dataset_source": found["source"],
        "dataset_start": found["calendarStart"],
        "dataset_end": found["calendarEnd"],
        "dataset_days": found["days"],
        "dataset_instruments": found["instruments"],
    }
