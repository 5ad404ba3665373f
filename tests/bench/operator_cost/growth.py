"""What finished runs cost an operator: memory, start, and each resync."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.bench.operator_cost import audit
from tests.bench.operator_cost.operator_process import operator

from testcluster.waiting import wait_for

if TYPE_CHECKING:
    from tests.bench.operator_cost.bench_cluster import Place
    from tests.bench.operator_cost.operator_process import Process

RESYNC: Final = 10
KINDS: Final = 3


@dataclass(frozen=True)
class Size:
    """An operator with this many finished runs, each with two Jobs and two pods."""

    runs: int
    start_cpu: float
    resident: int
    resync_cpu: float
    list_seconds: float
    peak: int


def measure(place: Place, runs: int) -> Size:
    """Start an operator, and measure two of its resyncs."""
    log = audit.Log(place.audit_log)
    log.skip()
    with operator(place, resync=RESYNC) as process:
        process.wait_until_idle()
        start_cpu, resident = process.cpu, process.resident
        before = resyncs(log)
        first, _ = after_resync(log, process, before)
        second, rounds = after_resync(log, process, before + 1)
        return Size(
            runs=runs,
            start_cpu=start_cpu,
            resident=resident,
            resync_cpu=second - first,
            list_seconds=sum(call.ended - call.began for call in rounds[-1]),
            peak=process.peak,
        )


def after_resync(log: audit.Log, process: Process, before: int) -> tuple[float, list[list[audit.Call]]]:
    """Wait for one more resync and its consequences; return the processor seconds so far."""
    wait_for(lambda: resyncs(log) > before, 120, "a resync")
    process.wait_until_idle()
    return process.cpu, audit.rounds(log.read())


def resyncs(log: audit.Log) -> int:
    """Return the number of resyncs, including the watches' first lists."""
    time.sleep(0.5)
    return len(audit.rounds(log.read()))
