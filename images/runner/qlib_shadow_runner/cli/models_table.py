"""`qlib-shadow models`: the models of all runs, by recipe."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.catalog.model_uses import LiveSignals, models_of
from qlib_shadow_runner.catalog.update import read_catalog
from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.nights.series import SHORT_RECIPE, all_series
from qlib_shadow_runner.printing import NOTHING, print_error, print_json, print_line, print_table
from qlib_shadow_runner.runs.listing import STATUS_DAMAGED, existing_volume
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from qlib_shadow_runner.catalog.model_uses import ModelUse
    from qlib_shadow_runner.catalog.run_columns import Row

HEADS: Final = (
    *("SERIES", "RECIPE", "TRAINED BY", "LEARNT TO", "DATA TO", "AGE"),
    *("IC", "LIVE IC", "DAYS", "RUNS", "LAST RUN"),
)
NUMBERS: Final = frozenset(range(HEADS.index("AGE"), HEADS.index("LAST RUN")))


def print_models(data: Path, recipe: str | None, *, as_json: bool) -> int:
    """Print each model with what was promised of it and how it did, the one used last first."""
    volume = existing_volume(data)
    catalog = read_catalog(volume)
    models = models_of(catalog.runs, LiveSignals.of(catalog.runs, catalog.followup))
    chosen = models if recipe is None else _of_recipe(models, recipe, data)
    names = {run["run_id"]: one.name for one in all_series(catalog.runs) for run in one.runs}
    if as_json:
        print_json([_document(model, names) for model in chosen])
    elif not chosen:
        print_line(
            f"no run in {data} says which model it used" if catalog.runs else f"there are no runs in {data}"
        )
    else:
        print_table([HEADS, *(_row(model, names) for model in chosen)], NUMBERS)
    damaged = sum(run["status"] == STATUS_DAMAGED for run in catalog.runs)
    if damaged:
        runs = "1 damaged run is" if damaged == 1 else f"{damaged} damaged runs are"
        print_error(f"note: {runs} left out; see: qlib-shadow runs --status damaged")
    return ExitCode.DONE


def _of_recipe(models: Sequence[ModelUse], recipe: str, data: Path) -> list[ModelUse]:
    found = [model for model in models if _recipe(model.runs[0]).startswith(recipe or NOTHING)]
    if not found:
        known = {_recipe(model.runs[0])[:SHORT_RECIPE] for model in models} - {""}
        hint = did_you_mean(recipe[:SHORT_RECIPE], known) if known else "no run there has one"
        raise StageError(Reason.INVALID_SPEC, f'no model in {data} is of a recipe "{recipe[:64]}"; {hint}')
    return found


def _recipe(run: Row) -> str:
    return str(run["recipe_sha256"] or "")


def _document(model: ModelUse, names: Mapping[str, str]) -> dict[str, object]:
    row = model.row()
    return {
        "model": row["model"],
        "series": names.get(row["last_run"]),
        "namespace": row["namespace"],
        "recipe": row["recipe_sha256"],
        "trainedThrough": row["trained_through"],
        "dataEnd": row["data_end"],
        "ageDays": row["age_days"],
        "ic": row["ic"],
        "liveIc": row["live_ic"],
        "daysJudged": row["days_judged"],
        "usedBy": [run["run_id"] for run in model.runs],
    }


def _row(model: ModelUse, names: Mapping[str, str]) -> Sequence[str]:
    row = model.row()
    return (
        names.get(row["last_run"], NOTHING),
        _recipe(row)[:SHORT_RECIPE] or NOTHING,
        row["model"],
        *_texts(row[name] for name in ("trained_through", "data_end", "age_days")),
        *(NOTHING if row[name] is None else f"{row[name]:.3f}" for name in ("ic", "live_ic")),
        *_texts(row[name] for name in ("days_judged", "runs", "last_run")),
    )


def _texts(values: Iterable[object]) -> list[str]:
    return [NOTHING if value is None else str(value) for value in values]
