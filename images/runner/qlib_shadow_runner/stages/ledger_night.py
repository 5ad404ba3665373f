"""What a run brings to its book: its last signals, its rules, and what the gates ask of it."""

from __future__ import annotations

import hashlib
import json
import math
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.analysis.outputs import Outputs
from qlib_shadow_runner.contract import ARTIFACTS, LEDGERS, METADATA_FILE, WORKFLOW_FILE, Reason, Stage
from qlib_shadow_runner.dataset.manifest import DatasetManifest, manifest_path
from qlib_shadow_runner.dataset.qlib_layout import Dataset
from qlib_shadow_runner.errors import DamagedFileError, StageError
from qlib_shadow_runner.export.ranked_signals import scores_and_returns, signals_sha256
from qlib_shadow_runner.ledger.gates import RunFacts
from qlib_shadow_runner.ledger.night import Night
from qlib_shadow_runner.ledger.own import capital_asked, require_book
from qlib_shadow_runner.ledger.quotes import Quotes
from qlib_shadow_runner.runs.values import mapping, number, text
from qlib_shadow_runner.stages.ledger_rules import ledger_faults, rules_of
from qlib_shadow_runner.storage.untrusted import why_unreadable
from qlib_shadow_runner.training.model_folder import ModelFolder
from qlib_shadow_runner.training.trained import Unusable
from qlib_shadow_runner.verify import check_all
from qlib_shadow_runner.verify.acceptance import CHECKS
from qlib_shadow_runner.verify.evidence import Evidence
from qlib_shadow_runner.workflow.description import exchange_of, strategy_of
from qlib_shadow_runner.workflow.vetting import vet

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import date
    from pathlib import Path

    import pandas as pd

    from qlib_shadow_runner.contract.spec.ledger import LedgerSpec
    from qlib_shadow_runner.ledger.gates import Passed
    from qlib_shadow_runner.ledger.rules import Rules
    from qlib_shadow_runner.runs.request import Identity

SIGNALS_CHECK = "signals"


@dataclass(frozen=True)
class RunOfTheNight:
    """A run whose training is done, and whose ledger stage is under way."""

    evidence: Evidence
    identity: Identity
    spec: LedgerSpec

    @classmethod
    def of(cls, folder: Path, mount: Path, identity: Identity, spec: LedgerSpec) -> RunOfTheNight:
        """Return the run in a folder."""
        return cls(Evidence(folder, mount, before=Stage.LEDGER), identity, spec)

    def check(self) -> None:
        """Refuse what the first stage of the run refuses, too: before the long checks of the run."""
        for fault in ledger_faults(self.spec, self.backtested["strategy"]):
            raise fault
        require_book(self.spec, self.book.parent, self.identity.namespace)

    def night(self) -> Night:
        """Return what the run brings to its book."""
        rules, (capital, share) = self.rules, capital_asked(self.spec, self.book.parent)
        scores, expected = scores_and_returns(self._last_rows)
        return Night(
            folder=self.book,
            namespace=self.identity.namespace,
            capital=capital,
            share=share,
            rules=rules,
            run=self._told(),
            day=self.day,
            scores=scores,
            facts=self._facts(rules),
            expected=expected,
            benchmark=self._benchmark(),
            promise=self._promise(),
        )

    @cached_property
    def dataset(self) -> Dataset:
        """Return the dataset of the run."""
        try:
            return Dataset(self.evidence.dataset)
        except FileNotFoundError as error:
            raise StageError(Reason.DATASET_MISSING, f"{error}.") from error

    @cached_property
    def quotes(self) -> Quotes:
        """Return the prices of the dataset."""
        return Quotes.of(self.dataset)

    @property
    def book(self) -> Path:
        """Return the folder of the book."""
        assert self.evidence.mount is not None, "it was given"
        return self.evidence.mount / ARTIFACTS / LEDGERS / self.spec.book

    @cached_property
    def metadata(self) -> Mapping[str, object]:
        """Return what the run says of itself; the stage before has written all of it."""
        found = self.evidence.metadata
        missing = [key for key in NEEDED if found.get(key) in (None, "", {}, [])]
        if missing:
            raise incomplete(f"{METADATA_FILE} lacks {', '.join(missing)}")
        return found

    @cached_property
    def rules(self) -> Rules:
        """Return the rules that the run asks for."""
        backtested = self.backtested
        region = self.evidence.workflow.document["qlib_init"]["region"]
        return rules_of(self.spec, backtested, str(region), self.quotes, self._universe())

    @cached_property
    def backtested(self) -> Mapping[str, Any]:
        """Return strategy, exchange and days of the backtest, from the workflow, which is vetted again.

        Its ranges hold for them; what the metadata say of them is only told.
        """
        try:
            workflow = self.evidence.workflow
            vet(workflow)
        except OSError as error:
            raise incomplete(why_unreadable(error)) from error
        except StageError as error:
            raise incomplete(f"{WORKFLOW_FILE} is not one that a run can have: {error.message}") from error
        days = [str(workflow.backtest[name]) for name in ("start_time", "end_time")]
        return {"strategy": strategy_of(workflow), "exchange": exchange_of(workflow), "backtest": days}

    @cached_property
    def _last_rows(self) -> pd.DataFrame:
        """Return the signals of the last day, best first."""
        try:
            table = self.evidence.signals[0]
        except (OSError, DamagedFileError) as error:
            raise incomplete(why_unreadable(error)) from error
        if table.empty:
            raise incomplete(f"{self.evidence.signals_path.name} has no rows")
        rows: pd.DataFrame = table[table["date"] == table["date"].max()]
        if not all(map(math.isfinite, rows["score"].tolist())):
            raise incomplete(f"{self.evidence.signals_path.name} ends with scores that are no finite numbers")
        return rows.sort_values("rank", ignore_index=True)

    @cached_property
    def day(self) -> date:
        """Return the last day of the signals."""
        found: date = self._last_rows["date"].iloc[0].date()
        if not self.quotes.has(found):
            raise incomplete(f"its signals end on {found}, which is no trading day of its dataset")
        return found

    def _told(self) -> dict[str, object]:
        """Return what a decision records of its run."""
        data, models = self.metadata, self.model.listed() if self.model else {}
        return {
            "runId": self.identity.run_id,
            "uid": self.identity.uid,
            "signalsSha256": signals_sha256(self.evidence.signals[0]),
            "modelSha256": hashlib.sha256(json.dumps(dict(sorted(models.items()))).encode()).hexdigest()
            if models
            else None,
            "configHash": data["config_hash"],
            "datasetFingerprint": data["dataset_fingerprint"],
            "dataset": data["dataset_resolved_path"],
            "live": data.get("live"),
            "benchmark": data.get("benchmark"),
        }

    @cached_property
    def model(self) -> ModelFolder | None:
        """Return the model in the run folder; None where there is none that can be read."""
        try:
            return ModelFolder.read(self.evidence.folder)
        except (Unusable, OSError):  # the checks of a golden run say why
            return None

    # --- what the gates ask ------------------------------------------------------------------------

    def _facts(self, rules: Rules) -> RunFacts:
        data = self.metadata
        golden, signals = self._checked(golden=rules.gates.golden)
        decay, drift = mapping(data.get("decay")), mapping(data.get("drift"))
        return RunFacts(
            golden=golden[0],
            golden_why=golden[1],
            signals=signals[0],
            signals_why=signals[1],
            model_age_days=self._model_age(),
            live_ic=text(decay.get("state")) or "unknown",
            live_ic_figure=number(decay.get("live_ic")),
            drift=text(drift.get("state")) or "unknown",
            coverage=self.coverage(),
            synthetic=self._is_synthetic(),
        )

    def _model_age(self) -> int | None:
        """Return how many trading days have come since the data ended with which the model was trained."""
        if self.model is None:
            return None
        return len(self.quotes.between(self.model.day("data_end"), self.day))

    def _is_synthetic(self) -> bool:
        """Return whether the data is synthetic, by the dataset's manifest, which no training writes."""
        manifest = DatasetManifest.read(manifest_path(self.evidence.dataset))
        return manifest is not None and manifest.synthetic

    def _checked(self, *, golden: bool) -> tuple[tuple[Passed, str], tuple[Passed, str]]:
        """Return whether the run passes all checks of a golden run, and that of its signals, with why not.

        The check of the signals is asked in any case: orders follow from nothing else.
        """
        lines = check_all(self.evidence, without=() if golden else set(CHECKS) - {SIGNALS_CHECK})
        failed = {line.name: line.detail for line in lines if not line.passed}
        why = failed.get(SIGNALS_CHECK, "")
        if self.metadata.get("identical_signals") is False:
            why = f"the identical run {self.metadata.get('identical_to')} has other signals"
        signals: tuple[Passed, str] = ("failed", why) if why else ("passed", "")
        if not golden:
            return ("unknown", ""), signals
        told = "; ".join(f"{name}: {detail}" for name, detail in failed.items())
        return ("failed", told) if failed else ("passed", ""), signals

    def _universe(self) -> set[str]:
        """Return the instruments that the universe lists on the day; the benchmark is not one of them."""
        data = self.metadata
        spans = self.dataset.universes.get(str(data["market"]), ())
        held = {span.symbol for span in spans if span.first <= self.day <= span.last}
        without = str(data["benchmark"]).lower() if data.get("benchmark_excluded") else None
        return {symbol for symbol in held if symbol.lower() != without}

    def coverage(self) -> float | None:
        """Return the share of the instruments with a price on the day that have a signal; None of none."""
        index = self.quotes.index(self.day)
        traded = {
            one for one in self._universe() if not math.isnan(self.quotes.series("close", one).at(index))
        }
        scored = {str(name).lower() for name in self._last_rows["instrument"]}
        return sum(one.lower() in scored for one in traded) / len(traded) if traded else None

    # --- what the backtest has promised ------------------------------------------------------------

    @cached_property
    def account(self) -> pd.DataFrame | None:
        """Return the daily account of the run's backtest; None where there is none."""
        return Outputs(self.evidence.tables).backtest

    def closes(self) -> dict[date, float]:
        """Return the value of the backtest's account at each close; empty where there is none."""
        table = self.account
        if table is None or "account" not in table:
            return {}
        known = table["account"].dropna()
        return dict(zip((day.date() for day in known.index), map(float, known), strict=True))

    def _benchmark(self) -> dict[date, float]:
        """Return the benchmark's return of each day from the backtest's first on.

        It is that of the benchmark's own price, so that it is the same whichever night reconciles a day: a
        backtest ends before the last day of its data. Without a price it is what the backtest says.
        """
        table, name = self.account, self.metadata.get("benchmark")
        if table is None or "bench" not in table:
            return {}
        known = table["bench"].dropna()
        found = dict(zip((day.date() for day in known.index), map(float, known), strict=True))
        days = [day for day in self.quotes.calendar if min(found, default=self.day) <= day <= self.day]
        return {**found, **(self._price_returns(name, days) if isinstance(name, str) else {})}

    def _price_returns(self, symbol: str, days: list[date]) -> dict[date, float]:
        """Return the change of an instrument's close on each of these days, where there are prices."""
        found = {day: self.quotes.day_return(symbol, self.quotes.index(day)) for day in days}
        return {day: one for day, one in found.items() if one is not None}

    def _promise(self) -> dict[str, float | None]:
        """Return mean and deviation of the backtest's daily return, net of cost."""
        table = self.account
        if table is None or not {"return", "cost"} <= set(table.columns):
            return {"mean": None, "deviation": None, "days": 0}
        net = (table["return"] - table["cost"]).dropna()
        known = len(net) > 1
        return {
            "mean": float(net.mean()) if known else None,
            "deviation": float(net.std()) if known else None,
            "days": len(net),
        }


NEEDED = (
    *("signals_file", "signals_sha256", "config_hash", "dataset_fingerprint", "dataset_resolved_path"),
    *("market", "benchmark"),
)
"""What the ledger needs of RUN_METADATA.json."""


def incomplete(what: str) -> StageError:
    """Return the error of a run folder in which something is missing that the qrun stage leaves."""
    return StageError(
        Reason.OUTPUT_INCOMPLETE,
        f"{what}, so the ledger cannot record the night. Apply the run again under a new name.",
    )
