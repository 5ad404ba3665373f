"""What the operator and the runner agree on: names, paths, exit codes, the shape of a result.

Standard library only, and no I/O: the operator imports this package and no other of the runner's.
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
    """A stage has this one name everywhere: command, Job suffix, status, docs; see contract.stages."""

    DOWNLOAD = "download"
    QRUN = "qrun"


# --- how a stage is started ---------------------------------------------------------------------

ENV_REQUEST: Final = "QLIB_SHADOW_REQUEST"
"""The Request as JSON: everything that a stage knows about its run."""
ENV_DATA: Final = "QLIB_SHADOW_DATA"
"""Where the volume is mounted; /data in the cluster."""
ENV_WORK: Final = "QLIB_SHADOW_WORK"
ENV_FEATURES_CACHE_BYTES: Final = "QLIB_SHADOW_FEATURES_CACHE_BYTES"
"""How many bytes of features may stay for other runs, where the default is not meant."""
"""A writable scratch folder, the working directory of qrun; /work in the image."""
ENV_TERMINATION_LOG: Final = "QLIB_SHADOW_TERMINATION_LOG"
"""Where the result goes besides the run folder; unset without a cluster."""
ENV_GIT_COMMIT: Final = "QLIB_SHADOW_GIT_COMMIT"
"""The commit that the image was built from."""
ENV_IMAGE: Final = "QLIB_SHADOW_IMAGE"
"""The image that the stage runs in, as the operator asked for it."""
ENV_TEMPLATE: Final = "QLIB_SHADOW_TEMPLATE"
"""The text of the user's own workflow template, where the spec names a ConfigMap; a variable and not a file,
because the kubelet says at once, and in the pod's status, which ConfigMap or entry is missing."""
ENV_ARCHIVE_TOKEN: Final = "QLIB_SHADOW_ARCHIVE_TOKEN"  # noqa: S105 - the variable's name
ENV_ARCHIVE_USERNAME: Final = "QLIB_SHADOW_ARCHIVE_USERNAME"
ENV_ARCHIVE_PASSWORD: Final = "QLIB_SHADOW_ARCHIVE_PASSWORD"  # noqa: S105 - the variable's name
"""What a Secret named in `credentialsSecret` holds, as token, username and password."""

DEFAULT_DATA: Final = "/data"
DEFAULT_WORK: Final = "/work"
DEFAULT_TERMINATION_LOG: Final = "/dev/termination-log"


class Request(TypedDict):
    """One run, as a stage is told of it: the manifest's spec, and who it belongs to."""

    name: str
    namespace: str
    uid: str
    runId: str
    spec: dict[str, object]


# --- the volume ------------------------------------------------------------------------------------

DEFAULT_DATASET_PATH: Final = "/data/qlib/qlib_data/us_data_1d"
SHORT_FINGERPRINT: Final = 12
"""How many digits of a fingerprint name a version: 48 bits, plenty among the versions of one dataset."""
ARTIFACTS: Final = PurePosixPath("artifacts/trading-ops/qlib-shadow")
"""Where run folders live, relative to the volume."""
RESULTS: Final = "results"
"""The folder inside a run folder that keeps each stage's result."""

WORKFLOW_FILE: Final = "workflow.yaml"
STDOUT_FILE: Final = "stdout.log"
STDERR_FILE: Final = "stderr.log"
MLRUNS: Final = "mlruns"
SUMMARY_FILE: Final = "backtest_summary.md"
SIGNALS_STEM: Final = "signals_ranked"
METADATA_FILE: Final = "RUN_METADATA.json"
METRICS_FILE: Final = "metrics.json"
REPORT_FILE: Final = "report.html"

RUN_ID_MAX: Final = 52
RUN_ID_PATTERN: Final = r"[a-z0-9]([a-z0-9.-]*[a-z0-9])?"
RESERVED_RUN_IDS: Final = frozenset({"catalog", "cache"})


def run_id_for(name: str, uid: str) -> str:
    """Name the run of a resource that gives no runId: `<name>-<first 8 of uid>`, shortened to fit."""
    suffix = uid[:8]
    return f"{name[: RUN_ID_MAX - len(suffix) - 1].rstrip('-.')}-{suffix}"


def version_path(path: str, fingerprint: str) -> str:
    """Return where a version of a dataset lies, from the dataset's path and the version's fingerprint."""
    return f"{path}@{fingerprint[:SHORT_FINGERPRINT]}"


def artifact_path(run_id: str) -> str:
    """Give the run folder as the cluster sees it."""
    return str(PurePosixPath(DEFAULT_DATA) / ARTIFACTS / run_id)


# --- how a stage ends ----------------------------------------------------------------------------


class ExitCode(IntEnum):
    """What a stage's process returns; the Jobs' podFailurePolicy acts on it."""

    DONE = 0
    INTERNAL = 1  # a defect of ours: retried, because it may be the node's
    BAD_CONFIG = 10  # spec, template or flags: never retried
    BAD_DATA = 11  # dataset missing, empty, broken or too short: never retried
    PROMISE_BROKEN = 12  # something tried to trade or to reach the network: never retried
    TRANSIENT = 13  # network, lock, busy volume: retried
    OUT_OF_DISK = 14  # the volume is full: retried, space may return
    INTERRUPTED = 143  # SIGTERM: the disruption is not the run's fault
    OUT_OF_MEMORY = 137  # as the kernel's killer leaves it; a killed child is reported the same way


USER_ERRORS: Final = (ExitCode.BAD_CONFIG, ExitCode.BAD_DATA, ExitCode.PROMISE_BROKEN)
"""Trying again changes nothing."""


class Reason(StrEnum):
    """Typed causes that a stage reports; the operator passes them on."""

    SUCCEEDED = "Succeeded"
    INVALID_SPEC = "InvalidSpec"
    INVALID_WORKFLOW = "InvalidWorkflow"
    TEMPLATE_NOT_FOUND = "TemplateNotFound"
    BENCHMARK_NOT_FOUND = "BenchmarkNotFound"
    MARKET_NOT_FOUND = "MarketNotFound"
    SEGMENTS_INVALID = "SegmentsInvalid"
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
    INTERNAL_ERROR = "InternalError"


TERMINATION_MESSAGE_BYTES: Final = 3500
"""The kubelet keeps 4,096; the rest is room for what it adds."""


class DatasetResult(TypedDict, total=False):
    """What is known of the dataset that a run uses."""

    path: str
    """As the spec names it, always beginning with /data."""
    resolvedPath: str
    """The immutable version behind the name."""
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
    """Whether what was delivered is."""
    policyState: str
    """Whether the run's policy lets it pass."""
    overallState: str
    reasonCode: str
    """The worst check's, or Ok."""
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
    configHash: str
    gitCommit: str
