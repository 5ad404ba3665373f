"""The table of fields: every field of a QlibShadowRun's spec, described once.

The CRD, docs/api.md, the runner's checks and the operator's reader are made from it.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import (
    DEFAULT_DATASET_PATH,
    RESERVED_RUN_IDS,
    RUN_ID_MAX,
    RUN_ID_PATTERN,
    SHORT_FINGERPRINT,
    WORKFLOW_FILE,
    Reason,
    Stage,
)
from qlib_shadow_runner.contract.fields import (
    Given,
    Object,
    Reader,
    Record,
    between,
    defaulted,
    excludes,
    fields_of,
    optional,
    part,
    required,
)
from qlib_shadow_runner.contract.kinds import (
    Choice,
    Condition,
    Flag,
    ListOf,
    Map,
    Number,
    Place,
    Quantity,
    Span,
    Text,
    Whole,
    matches,
)
from qlib_shadow_runner.contract.sources import SourceSpec

if TYPE_CHECKING:
    from collections.abc import Mapping

NAME: Final = Text(253)
"""The name of a Kubernetes object."""
SYMBOL: Final = Text(
    40, (matches(r"[A-Za-z0-9^._=-]+", "must be a name of letters, digits and ^ . _ = -, or auto"),)
)
AUTO: Final = "auto"
REGIONS: Final = ("us", "cn", "tw")
"""The regions whose trading rules Qlib knows."""
CHECKS: Final = (
    *("calendar_order", "bin_bounds", "invalid_prices", "missing_days", "high_low", "split_jumps"),
    *("partial_end", "duplicate_rows", "rejected_rows", "stale_end"),
)
"""The names of the checks in dataset/quality."""
EVERYTHING: Final = "all"
VERSION: Final = rf"[0-9a-f]{{{SHORT_FINGERPRINT},64}}"
FINGERPRINT: Final = (
    'the fingerprint of a version, 12 to 64 of the digits 0-9 and a-f in quotes, such as "808737d06485"'
)
NOT_WITH_VERSION: Final = ("source", "refresh", "quality", "maxAgeDays")
"""The fields that select or check data; a version already fixes all of that."""
RUN_ID: Final = Text(
    RUN_ID_MAX,
    (
        matches(
            RUN_ID_PATTERN,
            'must be lower-case letters, digits, "-" and ".", and begin and end with a letter or digit, '
            "for example us-2026-11-20",
        ),
        Condition(
            f"is reserved on the volume, as {' and '.join(sorted(RESERVED_RUN_IDS))} are; choose another one",
            lambda run_id: run_id not in RESERVED_RUN_IDS,
            f"!(self in {sorted(RESERVED_RUN_IDS)})",
        ),
    ),
)


def run_id_fault(run_id: str) -> str | None:
    """Return what is wrong with a run id, or None."""
    place = Place("runId")
    RUN_ID.read(run_id, place)
    return f"{place.where} {place.faults[0].what}" if place.faults else None


# --- spec.dataset ---------------------------------------------------------------------------------


class Refresh(StrEnum):
    """When a dataset is built although one exists."""

    IF_MISSING = "IfMissing"
    ALWAYS = "Always"
    NEVER = "Never"


@dataclass(frozen=True)
class QualitySpec(Record):
    """The findings that end a run."""

    block: tuple[str, ...] = defaulted(
        ListOf(
            Choice((*CHECKS, EVERYTHING)),
            16,
            f"checks, such as [split_jumps, missing_days], or [{EVERYTHING}]",
        ),
        f"Names of checks, as the manifest lists them, or {EVERYTHING}.",
        (),
    )


@dataclass(frozen=True)
class DatasetFields(Record):
    """The dataset of a run and how recent it must be."""

    path: str = defaulted(
        Text(
            200,
            (
                matches(
                    "/data(/[A-Za-z0-9_][A-Za-z0-9._-]*)+",
                    'must lie under /data, of letters, digits, ".", "_" and "-", '
                    f"for example {DEFAULT_DATASET_PATH}",
                ),
                Condition(
                    "must not lie in /data/artifacts, where runs write their results; "
                    f"use for example {DEFAULT_DATASET_PATH}",
                    lambda path: not f"{path}/".startswith("/data/artifacts/"),
                    "!(self + '/').startsWith('/data/artifacts/')",
                ),
            ),
        ),
        "Where the dataset is on the volume: a folder with calendars/, features/ and instruments/.",
        DEFAULT_DATASET_PATH,
    )
    version: str | None = optional(
        Text(
            64,
            (matches(VERSION, f"must be {FINGERPRINT}"),),
            words=FINGERPRINT,
        ),
        "Fingerprint of a version of the dataset that is on the volume, or its first 12 or more digits: the "
        "run takes exactly this one and has no download stage. It takes the place of "
        f"{', '.join(NOT_WITH_VERSION[:-1])} and {NOT_WITH_VERSION[-1]}.",
    )
    region: str = defaulted(Choice(REGIONS), "Qlib's region, which decides trading rules and limits.", "us")
    interval: str = defaulted(Choice(("1d",)), "Bar length.", "1d")
    refresh: Refresh = defaulted(
        Choice(Refresh),
        "When a dataset is built although one is there. Never takes what is there, or fails.",
        Refresh.IF_MISSING,
    )
    quality: QualitySpec = part(
        QualitySpec,
        "Which findings about the data end a run. Those that would make figures wrong without a sign always "
        "do; the others warn unless they are named here.",
    )
    max_age_days: int | None = optional(
        Whole(0, 100_000),
        "Refuse a dataset whose last day is older than this many days. Default: any age is taken.",
    )
    sources: SourceSpec | None = optional(
        Object(SourceSpec),
        "Where the dataset comes from: exactly one of the fields. Default: existing.",
        key="source",
    )

    RULES = (
        *(
            excludes(
                "version",
                name,
                must=f"cannot have {name} beside version, which names data that is there already; "
                "remove one of the two",
            )
            for name in NOT_WITH_VERSION
        ),
        between(
            *("region", "source"),
            must="must have a region that source.qlib has, us or cn, and the same where both are written; "
            "write one of them",
            holds=lambda region, source: source.allows_region(region),
            cel="!has(self.source.qlib) || (has(self.source.qlib.region) ? self.region == "
            "self.source.qlib.region : self.region in ['us', 'cn'])",
        ),
    )


# --- spec.workflow --------------------------------------------------------------------------------


class Engine(StrEnum):
    """The code that computes features; both engines compute the same bits."""

    FAST = "fast"
    QLIB = "qlib"


class SignalsFormat(StrEnum):
    """The file format of the ranked signals."""

    PARQUET = "parquet"
    CSV = "csv"


DEFAULT_ENGINE: Final = Engine.FAST


@dataclass(frozen=True)
class ConfigMapRef(Record):
    """The user's own template in a ConfigMap."""

    name: str = required(NAME, "Name of the ConfigMap.")
    key: str = defaulted(
        Text(253, (matches("[-._a-zA-Z0-9]+", 'must be letters, digits, "-", "_" and "."'),)),
        "Which of its entries.",
        WORKFLOW_FILE,
    )

    def __str__(self) -> str:
        return f'ConfigMap "{self.name}", key "{self.key}"'


@dataclass(frozen=True)
class Segments(Record):
    """The three periods of trading days, each with both ends included."""

    train: tuple[Any, Any] = required(Span(), "What the model learns from.")
    valid: tuple[Any, Any] = required(Span(), "What decides when learning stops.")
    test: tuple[Any, Any] = required(Span(), "What is predicted and backtested.")

    LACK = "give all of train, valid and test as [first, last], or leave segments out"
    RULES = (
        between(
            *("train", "valid", "test"),
            must="must follow one another: train ends before valid begins, and valid ends before test "
            "begins; correct the dates, or leave segments out",
            holds=lambda train, valid, test: train[1] < valid[0] and valid[1] < test[0],
            cel="self.train[1] < self.valid[0] && self.valid[1] < self.test[0]",
            reason=Reason.SEGMENTS_INVALID,
        ),
    )


@dataclass(frozen=True)
class ModelParameters(Record):
    """The LightGBM parameters that a run can set; the runner sets threads, seeds and devices."""

    VERBATIM = True
    learning_rate: float | None = optional(Number(1e-5, 1), "Step of each round.")
    num_leaves: int | None = optional(Whole(2, 4096), "Leaves of each tree.")
    max_depth: int | None = optional(Whole(-1, 64), "Depth of each tree; -1 is no limit.")
    lambda_l1: float | None = optional(Number(0, 1e6), "L1 regularization.")
    lambda_l2: float | None = optional(Number(0, 1e6), "L2 regularization.")
    colsample_bytree: float | None = optional(Number(0.01, 1), "Share of features of each tree.")
    subsample: float | None = optional(Number(0.01, 1), "Share of rows of each tree.")
    subsample_freq: int | None = optional(Whole(0, 1000), "Rounds between two samplings of rows.")
    min_child_samples: int | None = optional(Whole(1, 10_000_000), "Least rows of a leaf.")
    min_split_gain: float | None = optional(Number(0, 1e6), "Least gain of a split.")
    max_bin: int | None = optional(Whole(15, 4095), "Most bins of a feature.")
    num_boost_round: int | None = optional(Whole(1, 100_000), "Most rounds.")
    early_stopping_rounds: int | None = optional(
        Whole(1, 100_000), "Rounds without progress after which learning stops."
    )


@dataclass(frozen=True)
class Strategy(Record):
    """The TopkDropout strategy: hold `topk` instruments and replace at most `n_drop` a day."""

    topk: int | None = optional(Whole(1, 10_000), "How many instruments are held.")
    n_drop: int | None = optional(Whole(0, 10_000), "How many are replaced a day, at most.")

    RULES = (
        between(
            *("topk", "nDrop"),
            must="must have an nDrop of at most topk; lower it",
            holds=lambda topk, n_drop: n_drop <= topk,
            cel="self.nDrop <= self.topk",
        ),
    )


@dataclass(frozen=True)
class ExchangeCosts(Record):
    """The costs of a simulated trade; the defaults are those of Qlib's examples."""

    open_cost: float = defaulted(Number(0, 0.5), "Cost of buying, as a share.", 0.0005)
    close_cost: float = defaulted(Number(0, 0.5), "Cost of selling, as a share.", 0.0015)
    min_cost: float = defaulted(Number(0, 1e6), "Least cost of a trade.", 5.0)
    impact_cost: float = defaulted(
        Number(0, 0.5),
        "Slippage: added to the cost of an order, times the square of its share of what was traded that day.",
        0.0,
    )
    account: float = defaulted(Number(1, 1e15), "Money at the start.", 100_000_000.0)
    deal_price: str = defaulted(Choice(("close", "open", "vwap")), "Price of a trade.", "close")


@dataclass(frozen=True)
class WorkflowSpec(Record):
    """The workflow that a run executes."""

    template: str = defaulted(Text(63), "Name of a built-in workflow.", "lightgbm-alpha158")
    config_map: ConfigMapRef | None = optional(
        Object(ConfigMapRef),
        "A workflow template of your own, from a ConfigMap in the run's namespace.",
        reader=Reader.BOTH,
        key="configMapRef",
    )
    market: str = defaulted(
        SYMBOL,
        "Which instruments: a file of the dataset's instruments folder, without .txt. Default: auto, "
        "discovered from the dataset.",
        AUTO,
    )
    benchmark: str = defaulted(
        SYMBOL, "What returns are compared with. Default: auto, discovered from the dataset.", AUTO
    )
    segments: Segments | None = optional(
        Object(Segments),
        "Three spans of days as [first, last], in order and not overlapping. Default: made from the "
        "dataset's calendar.",
    )
    model: Mapping[str, float] = defaulted(
        Given(ModelParameters),
        "LightGBM's parameters. Threads, seeds and devices are not the run's to set. Defaults are the "
        "template's.",
        {},
    )
    strategy: Strategy = part(
        Strategy,
        "The portfolio: hold the topk best, replace at most nDrop a day. Defaults follow the market's size.",
    )
    exchange: ExchangeCosts = part(ExchangeCosts, "What a simulated trade costs. Nothing is ever traded.")
    engine: Engine | None = optional(
        Choice(Engine),
        "What computes features and backtest: fast, on arrays over all instruments, or Qlib's own engine. "
        "The figures are the same to the last bit. Default: fast; a template of one's own decides where it "
        "is not set.",
    )
    seed: int = defaulted(Whole(0, 2**31 - 1), "Seed of the model.", 7)
    signals_format: SignalsFormat = defaulted(
        Choice(SignalsFormat), "How the ranked signals are written.", SignalsFormat.PARQUET
    )

    RULES = (
        excludes(
            *("template", "configMapRef"),
            must="takes template (a built-in one) or configMapRef (one of yours), not both; remove one",
        ),
    )


# --- how the Jobs are run --------------------------------------------------------------------------


@dataclass(frozen=True)
class Resources(Record):
    """The resources of a stage's container."""

    requests: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is reserved.", {})
    limits: Mapping[str, Any] = defaulted(Map(Quantity(), 8), "What is not exceeded.", {})


@dataclass(frozen=True)
class Toleration(Record):
    """A toleration of a stage's pod."""

    key: str | None = optional(Text(317, least=0), "The taint's key; empty is all.")
    operator: str | None = optional(Choice(("Exists", "Equal")), "How the value is compared. Default: Equal.")
    value: str | None = optional(Text(63, least=0), "The taint's value.")
    effect: str | None = optional(
        Choice(("NoSchedule", "PreferNoSchedule", "NoExecute")), "The taint's effect; empty is all."
    )
    toleration_seconds: int | None = optional(Whole(-(2**31), 2**31 - 1), "How long NoExecute is tolerated.")


@dataclass(frozen=True)
class StageSpec(Record):
    """The settings of one stage's Job; None means the operator's setting."""

    resources: Mapping[str, Any] | None = optional(
        Given(Resources),
        "Requests and limits of the container, which replace the operator's defaults altogether.",
    )
    node_selector: Mapping[str, str] = defaulted(
        Map(Text(63, least=0), 16), "Labels of the nodes that may run the stage.", {}
    )
    tolerations: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(Toleration), 16, "tolerations"), "Taints of nodes that do not keep the stage away.", ()
    )
    active_deadline_seconds: int | None = optional(
        Whole(1, 30 * 86_400),
        "Longest time of the stage, all attempts together. Default: the operator's setting.",
    )
    retries: int | None = optional(
        Whole(0, 20),
        "How often a failed attempt is repeated. Errors of the spec and of the data are never repeated, and "
        "disruptions by the cluster do not count. Default: the operator's setting, 2.",
    )


@dataclass(frozen=True)
class StagesSpec(Record):
    """The settings of each stage's Job."""

    download: StageSpec = part(StageSpec, "The stage that provides and verifies the dataset.")
    qrun: StageSpec = part(StageSpec, "The stage that trains, predicts, backtests and reports.")

    def of(self, stage: Stage) -> StageSpec:
        """Return the settings of a stage."""
        found: StageSpec = getattr(self, stage)
        return found


@dataclass(frozen=True)
class StorageSpec(Record):
    """The volume that holds datasets and artifacts."""

    claim_name: str | None = optional(
        NAME,
        "PersistentVolumeClaim in the run's namespace, mounted at /data. Default: the operator's setting, "
        "qlib-shadow-data.",
    )


@dataclass(frozen=True)
class ImagePullSecret(Record):
    """A Secret with credentials for a registry."""

    name: str = required(NAME, "Name of the Secret.")


# --- spec ----------------------------------------------------------------------------------------


class Reuse(StrEnum):
    """Whether a run takes over the training of an identical run."""

    NEVER = "Never"
    IF_IDENTICAL = "IfIdentical"


@dataclass(frozen=True)
class RunFields(Record):
    """The whole spec of a run."""

    run_id: str | None = optional(
        RUN_ID,
        "Name of the run's folder on the volume, /data/artifacts/trading-ops/qlib-shadow/<runId>. "
        "Default: <name>-<first 8 characters of the uid>.",
        reader=Reader.BOTH,
    )
    dataset: DatasetFields = part(DatasetFields, "Which data, and how fresh.")
    workflow: WorkflowSpec = part(WorkflowSpec, "What is researched on the dataset.")
    storage: StorageSpec = part(
        StorageSpec, "The volume that holds datasets and artifacts.", reader=Reader.OPERATOR
    )
    stages: StagesSpec = part(StagesSpec, "How each stage's Job is run.", reader=Reader.OPERATOR)
    image: str | None = optional(
        Text(512), "The runner's image. Default: the operator's setting.", reader=Reader.OPERATOR
    )
    image_pull_policy: str | None = optional(
        Choice(("Always", "IfNotPresent", "Never")),
        "When the image is pulled. Default: the operator's setting, IfNotPresent.",
        reader=Reader.OPERATOR,
    )
    image_pull_secrets: tuple[ImagePullSecret, ...] = defaulted(
        ListOf(Object(ImagePullSecret), 8, "Secrets, for example [{name: registry}]"),
        "Secrets in the run's namespace with credentials of the image's registry.",
        (),
        reader=Reader.OPERATOR,
    )
    queue_name: str | None = optional(
        Text(
            63,
            (
                matches(
                    "[a-z0-9]([-a-z0-9.]*[a-z0-9])?",
                    'must be a name of lower-case letters, digits, "-" and "."',
                ),
            ),
        ),
        "Kueue's LocalQueue in the run's namespace, which then decides when the stages' Jobs start; waiting "
        "there is not limited. Suspending such a run deletes its Job, and resuming it queues a new one. "
        "Default: none; Jobs start at once.",
        reader=Reader.OPERATOR,
    )
    reuse: Reuse = defaulted(
        Choice(Reuse),
        "Whether a run that asks the same question of the same data as a finished one takes over its "
        "training and figures. Default: Never; the earlier run is named in the message.",
        Reuse.NEVER,
    )
    suspend: bool = defaulted(
        Flag(),
        "Start no stage, and stop the one that runs; it begins again when this is false. "
        "Can be changed at any time.",
        False,  # noqa: FBT003 - the value itself
        reader=Reader.OPERATOR,
        frozen=False,
    )
    ttl_seconds_after_finished: int | None = optional(
        Whole(0, 2**31 - 1),
        "Delete the run this long after it has finished; its artifacts stay. Default: it stays. "
        "Can be changed at any time.",
        reader=Reader.OPERATOR,
        frozen=False,
    )


QUESTION: Final = tuple(one.key for one in fields_of(RunFields) if Reader.RUNNER in one.reader)
"""The fields of the spec that the runner reads and that determine its work."""
