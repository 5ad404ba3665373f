"""A rendered workflow as one object: its text, its parts, what it reaches for, and its hash."""

from __future__ import annotations

import copy
import hashlib
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.spec.workflow import Engine
from qlib_shadow_runner.discovery.reach import Reach
from qlib_shadow_runner.engine.expressions import read
from qlib_shadow_runner.workflow.allowed.alpha158 import look_back
from qlib_shadow_runner.workflow.allowed.features import FITTED_CLASSES
from qlib_shadow_runner.workflow.class_paths import engine_of
from qlib_shadow_runner.workflow.horizon import horizon_of
from qlib_shadow_runner.workflow.read_yaml import read_document
from qlib_shadow_runner.workflow.shapes import class_path_of, expressions_in, reach_of

if TYPE_CHECKING:
    from collections.abc import Mapping

    from qlib_shadow_runner.discovery.live_days import LiveDays

Part = dict[str, Any]
MACHINE_DEPENDENT: Final = (
    ("qlib_init", "provider_uri"),
    ("qlib_init", "kernels"),
    ("task", "model", "kwargs", "num_threads"),
)
"""What differs between machines without changing the result; the fingerprint stands for the path."""
KEPT_MODEL: Final = "kept_model"
"""The section in which the stage, and no template, states the hashes of a kept model."""
LIVE_MODEL: Final = "live_model"
"""The section in which the stage, and no template, states what the live model learns from, and its days."""
FEATURES_LOOK_BACK: Final[Mapping[str, int]] = {
    "Alpha158": 60,
    "QlibAlpha158": 60,
    "Alpha158vwap": 60,
    "Alpha360": 59,
    "Alpha360vwap": 59,
}
"""The longest window of each handler that brings its own features."""
FITTED_BY_DEFAULT: Final[Mapping[str, str]] = {"Alpha360": "ZScoreNorm", "Alpha360vwap": "ZScoreNorm"}
"""The fitted processor of features that a handler has where a workflow names none."""
LABEL: Final = ["Ref($close, -2)/Ref($close, -1) - 1"]
LABEL_OF_VWAP: Final = ["Ref($vwap, -2)/Ref($vwap, -1) - 1"]
"""Their labels, where a workflow gives none."""


@dataclass(frozen=True)
class Workflow:
    """A rendered workflow. The parts are those of a vetted one, which has them all."""

    text: str
    document: Mapping[str, Any]

    @property
    def sha256(self) -> str:
        """Return the hash of the exact bytes."""
        return hashlib.sha256(self.text.encode()).hexdigest()

    def config_hash(self, fingerprint: str) -> str:
        """Return the hash of what determines the result; it is equal on every machine."""
        workflow: dict[str, object] = copy.deepcopy(dict(self.document))
        for path in MACHINE_DEPENDENT:
            _drop(workflow, path)
        canonical = json.dumps(
            {"workflow": workflow, "dataset_fingerprint": fingerprint},
            sort_keys=True,
            separators=(",", ":"),
            ensure_ascii=False,
            default=str,
        )
        return hashlib.sha256(canonical.encode()).hexdigest()

    @property
    def kept_model(self) -> Part | None:
        """Return the hashes of the kept model's files, or None where the run trains."""
        return self.document.get(KEPT_MODEL)

    def keeping(self, files: Mapping[str, str]) -> Workflow:
        """Return the workflow that keeps a model with these files, which qrun does not read here."""
        # Quoted, since a hash of digits alone would be read as a number.
        lines = [f'  "{name}": "{digest}"\n' for name, digest in sorted(files.items())]
        return self._with("The model of an earlier run is kept.", KEPT_MODEL, lines)

    def _with(self, says: str, section: str, lines: list[str]) -> Workflow:
        head = f"\n# {says} The stage reads this section; qrun ignores it.\n{section}:\n"
        return parse(f"{self.text.rstrip()}\n{head}{''.join(lines)}")

    @property
    def live_model(self) -> Part | None:
        """Return the days of the live model, or None where the evaluated model makes all signals."""
        return self.document.get(LIVE_MODEL)

    def refitting(self, live: LiveDays, *, kept: bool) -> Workflow:
        """Return the workflow with a live model; a kept one has learnt from days of another run."""
        spans = {"days": live.days} if kept else {"train": live.train, "days": live.days}
        lines = [f'  {name}: ["{first}", "{last}"]\n' for name, (first, last) in spans.items()]
        return self._with("A live model makes the signals of these days.", LIVE_MODEL, lines)

    @property
    def model(self) -> Part:
        """Return the model with its class."""
        return self._part("task", "model")

    @property
    def handler(self) -> Part:
        """Return the handler, which makes features and labels, with its class."""
        return self._part("task", "dataset", "kwargs", "handler")

    @property
    def segments(self) -> Part:
        """Return the days of train, valid and test."""
        return self._part("task", "dataset", "kwargs", "segments")

    @property
    def fitted_processors(self) -> list[str]:
        """Return the processors of features that are fitted to the days of train."""
        arguments = self.handler["kwargs"]
        steps = [*arguments.get("shared_processors", []), *arguments.get("infer_processors", [])]
        if "infer_processors" not in arguments and class_of(self.handler) in FITTED_BY_DEFAULT:
            steps.append({"class": FITTED_BY_DEFAULT[class_of(self.handler)]})
        return [name for name in map(class_of, steps) if name in FITTED_CLASSES]

    @property
    def lost_processors(self) -> list[str]:
        """Return the fitted processors whose state cannot be restored, since the handler is Qlib's own."""
        return self.fitted_processors if self.engines["features"] is Engine.QLIB else []

    @property
    def strategy(self) -> Part:
        """Return the strategy with its class."""
        return self._part("task", "record", -1, "kwargs", "config", "strategy")

    @property
    def backtest(self) -> Part:
        """Return what the backtest is given."""
        return self._part("task", "record", -1, "kwargs", "config", "backtest")

    @property
    def exchange(self) -> Part:
        """Return what the simulated exchange is given, be it Qlib's own or one by class path."""
        given: Part = self.backtest["exchange_kwargs"]
        arguments: Part = given["exchange"]["kwargs"] if "exchange" in given else given
        return arguments

    @property
    def engines(self) -> dict[str, Engine]:
        """Return the engine of each part that both engines have; what is not named is Qlib's own."""
        config = self._part("task", "record", -1, "kwargs", "config")
        parts = {
            "features": self.handler,
            "analysis": self._part("task", "record", 1),
            "strategy": self.strategy,
            "executor": config.get("executor", {}),
            "exchange": self.backtest["exchange_kwargs"].get("exchange", {}),
        }
        return {name: engine_of(class_path_of(part)) for name, part in parts.items()}

    @property
    def reach(self) -> Reach:
        """Return how far features look back and labels look ahead."""
        features, label = self._expressions()
        widest = Reach.widest(map(reach_of, [*features, *label]))
        ahead = Reach.widest(map(reach_of, label)).ahead
        return Reach(max(self._ready_made_look_back(), widest.back), ahead)

    @property
    def horizon(self) -> int:
        """Return over how many days the label reaches."""
        return horizon_of(self._expressions()[1])

    @property
    def fields(self) -> set[str]:
        """Return the fields that the workflow itself names; those of Qlib's own features may be missing."""
        features, label = self._expressions()
        price: str = self.exchange["deal_price"]
        return {price}.union(*(read(one).fields for one in [*features, *label]))

    def _part(self, *keys: str | int) -> Part:
        node: Any = self.document
        for key in keys:
            node = node[key]
        assert isinstance(node, dict), "it was vetted"
        return node

    def _ready_made_look_back(self) -> int:
        chosen = self.handler["kwargs"].get("features")
        return look_back(chosen) if chosen else FEATURES_LOOK_BACK.get(class_of(self.handler), 0)

    def _expressions(self) -> tuple[list[str], list[str]]:
        arguments, name = self.handler["kwargs"], class_of(self.handler)
        if name in FEATURES_LOOK_BACK:
            usual = LABEL_OF_VWAP if name.endswith("vwap") else LABEL
            return [], _texts(arguments.get("label", usual))
        own = arguments["data_loader"]["kwargs"]["config"]
        return _texts(own["feature"]), _texts(own["label"])


def parse(text: str) -> Workflow:
    """Return a rendered workflow as an object; it is not vetted yet."""
    return Workflow(text, read_document(text))


def class_of(part: Mapping[str, Any]) -> str:
    """Return the name of a part's class without its module."""
    return str(part["class"]).rpartition(".")[2]


def _texts(fields: object) -> list[str]:
    return [str(one) for one in expressions_in(fields)]


def _drop(document: object, path: tuple[str, ...]) -> None:
    *parents, last = path
    for key in parents:
        document = document.get(key) if isinstance(document, dict) else None
    if isinstance(document, dict):
        document.pop(last, None)
