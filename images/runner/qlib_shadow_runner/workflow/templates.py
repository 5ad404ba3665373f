"""A run's template, built-in or the user's own, and the parameters that it may use."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final, NoReturn

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.contract.spec.workflow import DEFAULT_ENGINE
from qlib_shadow_runner.dataset.qlib_layout import ALL
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.texts import did_you_mean

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.contract.spec.workflow import ConfigMapRef, Strategy, WorkflowSpec
    from qlib_shadow_runner.discovery.research_plan import ResearchPlan
    from qlib_shadow_runner.spec import RunSpec

TEMPLATES: Final[Mapping[str, str]] = {
    "lightgbm-alpha158": "workflow_us_lightgbm_alpha158_shadow.yaml",
}
"""The names of the built-in templates, and their files."""
PACKAGE: Final = Path(__file__).resolve().parents[1]
HOMES: Final = (PACKAGE / "workflows", PACKAGE.parents[2] / "config" / "qlib_shadow")
"""In an installed wheel, and in a checkout."""
LARGEST: Final = 64 * 1024
"""Bytes of a user's template; the kernel allows an environment variable twice that."""


@dataclass(frozen=True)
class Template:
    """A template's text, and its name in sentences."""

    name: str
    text: str


def find_template(workflow: WorkflowSpec, own_text: str | None) -> Template:
    """Return the template that the spec names: a built-in one, or the text of the user's own."""
    if workflow.config_map is None:
        return Template(f"template {workflow.template}", read_template(workflow.template))
    return own_template(workflow.config_map, own_text)


def own_template(ref: ConfigMapRef, text: str | None) -> Template:
    """Return the user's own template, or refuse one that is missing, empty or too large."""
    if text is None:
        _refuse(
            f"{ref}, which spec.workflow.configMapRef names, was not handed to the stage. "
            "The ConfigMap must be in the run's namespace and have this key."
        )
    if not text.strip():
        _refuse(f"{ref} is empty. Write a workflow template into it.")
    if len(text.encode()) > LARGEST:
        _refuse(f"{ref} holds more than {LARGEST:,} bytes, which is what a template may have. Shorten it.")
    return Template(str(ref), text)


def read_template(name: str) -> str:
    """Return the text of a built-in template."""
    if name not in TEMPLATES:
        _refuse(f'spec.workflow.template "{name}" is unknown; {did_you_mean(name, TEMPLATES)}')
    for home in HOMES:
        path = home / TEMPLATES[name]
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise StageError(
        Reason.TEMPLATE_NOT_FOUND,
        f"{TEMPLATES[name]} is not installed; looked in {' and '.join(map(str, HOMES))}",
    )


def _refuse(message: str) -> NoReturn:
    raise StageError(Reason.TEMPLATE_NOT_FOUND, message)


PUBLISHED_ROWS: Final = 900_000
"""Roughly the rows of training data for which Qlib's published penalties were chosen."""
PUBLISHED_LAMBDA_L1: Final = 205.7
PUBLISHED_LAMBDA_L2: Final = 581.0
DEFAULTS: Final[Mapping[str, float]] = {
    "learning_rate": 0.05,
    "num_leaves": 64,
    "max_depth": 8,
    "colsample_bytree": 0.8879,
    "subsample": 0.8789,
    "subsample_freq": 0,
    "min_child_samples": 20,
    "min_split_gain": 0.0,
    "max_bin": 255,
    "num_boost_round": 500,
    "early_stopping_rounds": 50,
}
LARGEST_PORTFOLIO: Final = 50
SECTIONS: Final = frozenset({"model", "segments", "backtest", "strategy", "exchange"})
"""The parameters that have parts, such as model.num_leaves; the others are one value each."""


def template_parameters(
    spec: RunSpec, plan: ResearchPlan, provider_uri: str, threads: int
) -> dict[str, object]:
    """Return every parameter that a template may use; any other name in it is an error."""
    segments = plan.days.segments
    return {
        "provider_uri": provider_uri,
        "region": spec.dataset.region,
        "engine": str(spec.workflow.engine or DEFAULT_ENGINE),
        "model": model_parameters(spec, plan),
        "seed": spec.workflow.seed,
        "num_threads": threads,
        "segments": segments.values(),
        "backtest": {"start": plan.days.backtest[0], "end": plan.days.backtest[1]},
        "instruments": plan.market.instruments,
        "benchmark": plan.benchmark.value_for_qlib,
        "codes": exchange_codes(plan),
        "strategy": strategy_parameters(spec.workflow.strategy, len(plan.market.symbols)),
        "exchange": spec.workflow.exchange.values(),
    }


def model_parameters(spec: RunSpec, plan: ResearchPlan) -> dict[str, float]:
    """Return the model's parameters, with penalties scaled to the number of training rows."""
    rows = plan.days.counts["train"] * len(plan.market.symbols)
    share = min(1.0, rows / PUBLISHED_ROWS)
    scaled = {
        "lambda_l1": round(PUBLISHED_LAMBDA_L1 * share, 2),
        "lambda_l2": round(PUBLISHED_LAMBDA_L2 * share, 2),
    }
    return {**DEFAULTS, **scaled, **spec.workflow.model_parameters}


def strategy_parameters(asked: Strategy, symbols: int) -> dict[str, int]:
    """Return how many instruments to hold (a fifth, at most 50) and to replace a day (a tenth of them)."""
    topk = asked.topk if asked.topk is not None else max(1, min(LARGEST_PORTFOLIO, symbols // 5))
    n_drop = asked.n_drop if asked.n_drop is not None else max(1, topk // 10)
    return {"topk": topk, "n_drop": min(n_drop, topk)}


def exchange_codes(plan: ResearchPlan) -> str | list[str]:
    """Return the instruments that the exchange quotes: `all` by its name, else the market's symbols."""
    if plan.market.name == ALL and plan.market.excluded is None:
        return ALL
    return list(plan.market.symbols)
