"""What the operator and the runner share: names, paths, exit codes, the fields of a result.

Standard library only and no I/O: this is the only package of the runner that the operator imports.
"""

from __future__ import annotations

from enum import IntEnum, StrEnum
from pathlib import PurePosixPath
from typing import Final, TypedDict

API_VERSION: Final = "qlibshadow.io/v1alpha1"
KIND: Final = "QlibShadowRun"
LOCAL_NAMESPACE: Final = "local"
"""The namespace of a run that was made without a cluster."""

# --- stages ----------------------------------------------------------------------------------


class Stage(StrEnum):
    """A stage's name in commands, Job names, status and docs; contract.stages describes each."""

    DOWNLOAD = "download"
    QRUN = "qrun"
    LEDGER = "ledger"


# --- how a stage is started ---------------------------------------------------------------------

ENV_REQUEST: Final = "QLIB_SHADOW_REQUEST"
"""The Request of the run, as JSON."""
ENV_DATA: Final = "QLIB_SHADOW_DATA"
"""The mount point of the volume; /data in the cluster."""
ENV_WORK: Final = "QLIB_SHADOW_WORK"
"""A writable scratch folder, the working directory of qrun; /work in the image."""
ENV_FEATURES_CACHE_BYTES: Final = "QLIB_SHADOW_FEATURES_CACHE_BYTES"
"""The size limit of the feature cache in bytes, where it is not the default."""
ENV_DEADLINE_SECONDS: Final = "QLIB_SHADOW_DEADLINE_SECONDS"
"""The seconds that the stage's Job has, all attempts together; a download ends before, with a sentence."""
ENV_PRICES: Final = "QLIB_SHADOW_PRICES"
"""The file or folder that is read in place of the price files that the spec names; never set in a cluster."""
ENV_TERMINATION_LOG: Final = "QLIB_SHADOW_TERMINATION_LOG"
"""The file that also receives the result, besides the run folder; unset without a cluster."""
ENV_GIT_COMMIT: Final = "QLIB_SHADOW_GIT_COMMIT"
"""The commit that the image was built from."""
ENV_IMAGE: Final = "QLIB_SHADOW_IMAGE"
"""The image of the stage's container, as the operator wrote it into the Job."""
ENV_TEMPLATE: Final = "QLIB_SHADOW_TEMPLATE"
"""The text of the user's own workflow template, where the spec names a ConfigMap. A variable and not a file,
because the kubelet then names a missing ConfigMap or key at once in the pod's status."""
ENV_ARCHIVE_TOKEN: Final = "QLIB_SHADOW_ARCHIVE_TOKEN"  # noqa: S105 - the variable's name
ENV_ARCHIVE_USERNAME: Final = "QLIB_SHADOW_ARCHIVE_USERNAME"
ENV_ARCHIVE_PASSWORD: Final = "QLIB_SHADOW_ARCHIVE_PASSWORD"  # noqa: S105 - the variable's name
"""The token, username and password from the Secret that `credentialsSecret` names."""

DEFAULT_DATA: Final = "/data"
DEFAULT_WORK: Final = "/work"
DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"


class Request(TypedDict):
    """One run as a stage receives it: its identity and its spec."""

    name: str
    namespace: str
    uid: str
    runId: str
    spec: dict[str, object]


# --- the volume ------------------------------------------------------------------------------------

DEFAULT_DATASET_PATH: Final = "/data/qlib/qlib_data/us_data_1d"
SHORT_FINGERPRINT: Final = 12
"""The number of fingerprint digits in a version's folder name; 48 bits tell all versions apart."""
ARTIFACTS: Final = PurePosixPath("artifacts/trading-ops/qlib-shadow")
"""The parent of all run folders, relative to the volume."""
RESULTS: Final = "results"
"""The folder inside a run folder that holds each stage's result."""

WORKFLOW_FILE: Final = "workflow.yaml"
STDOUT_FILE: Final = "stdout.log"
STDERR_FILE: Final = "stderr.log"
MLRUNS: Final = "mlruns"
TABLES: Final = "tables"
"""The folder inside a run folder that holds, as tables, what Qlib's recorder has pickled."""
MODEL: Final = "model"
"""The folder inside a run folder that holds the models in their own text, and how they were made."""
SUMMARY_FILE: Final = "backtest_summary.md"
SIGNALS_STEM: Final = "signals_ranked"
METADATA_FILE: Final = "RUN_METADATA.json"
METRICS_FILE: Final = "metrics.json"
REPORT_FILE: Final = "report.html"

RUN_ID_MAX: Final = 52
RUN_ID_PATTERN: Final = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
LEDGERS: Final = "ledgers"
"""The folder of all books, beside the run folders."""
RESERVED_RUN_IDS: Final = frozenset({"catalog", "cache", LEDGERS})


def run_id_for(name: str, uid: str) -> str:
    """Return the run id of a resource without runId: `<name>-<first 8 of uid>`, shortened to fit."""
    suffix = uid[:8]
    return f"{name[: RUN_ID_MAX - len(suffix) - 1].rstrip('-.')}-{suffix}"


def version_path(path: str, fingerprint: str) -> str:
    """Return the path of the version of a dataset that has this fingerprint."""
    return f"{path}@{fingerprint[:SHORT_FINGERPRINT]}"


def artifact_path(run_id: str) -> str:
    """Return the path of a run folder in the cluster."""
    return str(PurePosixPath(DEFAULT_DATA) / ARTIFACTS / run_id)


# --- how a stage ends ----------------------------------------------------------------------------


class ExitCode(IntEnum):
    """The exit code of a stage's process; the podFailurePolicy of its Job acts on it."""

    DONE = 0
    INTERNAL = 1  # a defect of this project: retried, because the node may be the cause
    BAD_CONFIG = 10  # spec, template or flags: never retried
    BAD_DATA = 11  # dataset missing, empty, broken or too short: never retried
    PROMISE_BROKEN = 12  # code tried to trade or to reach the network: never retried
    TRANSIENT = 13  # network, lock, busy volume: retried
    OUT_OF_DISK = 14  # the volume is full: retried, because space may be freed
    LEDGER_DAMAGED = 15  # a book whose chain does not hold: never retried, and never written over
    INTERRUPTED = 143  # SIGTERM: a disruption that the run did not cause
    OUT_OF_MEMORY = 137  # the kernel's OOM killer ended the process or a child


USER_ERRORS: Final = (
    ExitCode.BAD_CONFIG,
    ExitCode.BAD_DATA,
    ExitCode.PROMISE_BROKEN,
    ExitCode.LEDGER_DAMAGED,
)
"""The codes of errors that a retry cannot solve."""


class Reason(StrEnum):
    """The causes that a stage reports and the operator passes on."""

    SUCCEEDED = "Succeeded"
    INVALID_SPEC = "InvalidSpec"
    INVALID_WORKFLOW = "InvalidWorkflow"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    BENCHMARK_NOT_FOUND = "BenchmarkNotFound"
    MARKET_NOT_FOUND = "MarketNotFound"
    SEGMENTS_INVALID = "SegmentsInvalid"
    MODEL_REFUSED = "ModelRefused"
    DATASET_MISSING = "DatasetMissing"
    DATASET_INVALID = "DatasetInvalid"
    DATASET_STALE = "DatasetStale"
    DATASET_TOO_SHORT = "DatasetTooShort"
    DATASET_LOCKED = "DatasetLocked"
    DOWNLOAD_FAILED = "DownloadFailed"
    DOWNLOAD_REFUSED = "DownloadRefused"
    CHECKSUM_MISMATCH = "ChecksumMismatch"
    ARCHIVE_INVALID = "ArchiveInvalid"
    VOLUME_NOT_WRITABLE = "VolumeNotWritable"
    RUN_FOLDER_TAKEN = "RunFolderTaken"
    SUPERSEDED = "Superseded"
    OUT_OF_DISK = "OutOfDisk"
    OUT_OF_MEMORY = "OutOfMemory"
    INTERRUPTED = "Interrupted"
    TRAINING_FAILED = "TrainingFailed"
    OUTPUT_INCOMPLETE = "OutputIncomplete"
    RESULT_MISSING = "ResultMissing"
    SHADOW_PROMISE_BROKEN = "ShadowPromiseBroken"
    LEDGER_REFUSED = "LedgerRefused"
    LEDGER_LOCKED = "LedgerLocked"
    LEDGER_DAMAGED = "LedgerDamaged"
    INTERNAL_ERROR = "InternalError"


TERMINATION_MESSAGE_BYTES: Final = 3500
"""The kubelet keeps 4,096 bytes, including what it adds itself."""


class DatasetResult(TypedDict, total=False):
    """The facts about the dataset that a run uses."""

    path: str
    """The path in the spec, always below /data."""
    resolvedPath: str
    """The path of the immutable version that the run uses."""
    fingerprint: str
    source: str
    calendarStart: str
    calendarEnd: str
    days: int
    instruments: int
    ageDays: int
    engineeringState: str
    """ok, warn or fail: whether the files are sound."""
    sourceState: str
    """Whether the delivered data is sound."""
    policyState: str
    """Whether the run's policy accepts the data."""
    overallState: str
    reasonCode: str
    """The code of the worst finding, or Ok."""
    actionHint: str


class Metrics(TypedDict, total=False):
    """The figures of a run; absent where they could not be computed, never NaN."""

    ic: float
    icir: float
    rankIc: float
    rankIcir: float
    annualizedReturn: float
    informationRatio: float
    maxDrawdown: float
    annualizedReturnWithoutCost: float
    informationRatioWithoutCost: float
    maxDrawdownWithoutCost: float
    icTrain: float
    icValid: float


class ModelResult(TypedDict, total=False):
    """The model that made a run's signals; absent where it is not known."""

    recipe: str
    """The first characters of the recipe's hash: equal ones ask the same."""
    trainedBy: str
    trainedThrough: str
    ageDays: int
    kept: bool
    liveIc: float
    drift: str
    """none, drifting or unknown."""
    decay: str
    """holds, decayed or unknown."""


class LedgerResult(TypedDict, total=False):
    """What a run has recorded in its book, and how the book stands."""

    book: str
    day: str
    """The day of the decision that is told here."""
    decision: str
    """Decided, Reducing or Held."""
    late: bool
    recorded: str
    """new, already (another run or attempt has decided that day) or behind (the book is further)."""
    orders: int
    turnover: float
    nav: float
    pnl: float
    """Profit or loss of the day."""
    drawdown: float
    closedGates: str
    """Names of the gates that let no order pass, or only sales, joined by ","; absent where all are open.
    Of a day that was decided already, also dataAge, where no day has come since for too long."""
    missed: int
    """Trading days since the decision before of which none was made."""
    beyondPromise: bool
    """Whether the record lies beyond the band that backtests promised; absent where that is unknown."""
    tracking: float
    """The paper account's return less that of this run's backtest over the same days; absent without any."""
    beyondTracking: bool
    """Whether that is more than chance; absent where that is unknown."""
    head: str
    """The hash of the chain's last entry, by which a forged chain is found."""
    entries: int
    """The number of entries up to that one."""


class Result(TypedDict, total=False):
    """One stage's result: the termination message, and `results/<stage>.json` in the run folder."""

    stage: str
    runId: str
    uid: str
    reason: str
    message: str
    exitCode: int
    startedAt: str
    finishedAt: str
    artifactPath: str
    dataset: DatasetResult
    metrics: Metrics
    model: ModelResult
    ledger: LedgerResult
    configHash: str
    gitCommit: str
