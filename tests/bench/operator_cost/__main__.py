"""`python -m tests.bench.operator_cost`: print each line when it is known, and the table at the end."""

from __future__ import annotations

import argparse
import sys
from statistics import median
from typing import TYPE_CHECKING, Any

from tests.bench.operator_cost import audit, growth
from tests.bench.operator_cost import results_table as report
from tests.bench.operator_cost.bench_cluster import load_stage_image, place
from tests.bench.operator_cost.finished_runs import fill
from tests.bench.operator_cost.floor import floor
from tests.bench.operator_cost.kwok_nodes import DATASET, pretend
from tests.bench.operator_cost.loads import make
from tests.bench.operator_cost.operator_process import operator

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.bench.operator_cost.bench_cluster import Place
    from tests.bench.operator_cost.results_table import Row

ROUNDS = 3


def main() -> int:
    """Measure what was asked for."""
    options = arguments()
    sys.stderr.write(f"{report.machine()}\n")
    rows: list[Row] = []
    for row in measure(options):
        sys.stderr.write(f"{' | '.join(row)}\n")
        rows.append(row)
    print(f"{report.machine()}\n\n{report.table(rows)}")  # noqa: T201
    return 0


def arguments() -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="bench-operator", description=__doc__)
    parser.add_argument("--runs", type=int, default=1000, help="so many at once (default 1000)")
    parser.add_argument("--steady", type=int, default=200, help="so many at a steady pace (default 200)")
    parser.add_argument("--rate", type=float, default=20, help="so many a second then (default 20)")
    parser.add_argument(
        "--existing", type=int, nargs="*", default=[100, 1000, 5000], help="finished runs (100 1000 5000)"
    )
    parser.add_argument("--only", choices=["pretended", "real"], help="pretended nodes, or the real one")
    return parser.parse_args()


def measure(options: argparse.Namespace) -> Iterator[Row]:
    """Measure on simulated nodes, then on a real one."""
    if options.only != "real":
        with place(node=False) as here, pretend(here):
            yield from on_pretended_nodes(here, options)
    if options.only != "pretended":
        with place(node=True) as here:
            load_stage_image(here)
            yield from on_a_real_node(here)


def on_pretended_nodes(here: Place, options: argparse.Namespace) -> Iterator[Row]:
    """Measure loads that no single machine could run."""
    there = 0
    resolved = str(DATASET["resolvedPath"])
    existing = sorted(options.existing)
    if existing:
        yield from grown([growth.measure(here, 0)], None)
    sizes = []
    for number, size in enumerate(existing):
        if number == len(existing) - 1 or not existing:
            yield from loads(here, options, resolved)
            there += ROUNDS + options.runs + options.steady
        fill(here, f"fill{number}", size - there)
        there = max(size, there)
        sizes.append(growth.measure(here, there))
        yield from grown(sizes[-1:], sizes[0])
    if not existing:
        yield from loads(here, options, resolved)


def grown(sizes: list[growth.Size], first: growth.Size | None) -> Iterator[Row]:
    """Yield what this many finished runs cost."""
    for size in sizes:
        text = (
            f"{report.megabytes(size.resident)} after the start (peak {report.megabytes(size.peak)}); start "
            f"{size.start_cpu:.1f} s CPU, resync {size.resync_cpu:.2f} s CPU, for lists that took "
            f"{report.seconds(size.list_seconds)}"
        )
        yield report.fact(f"{size.runs} finished runs", text)
        if first and size.runs > first.runs:
            more = (size.resident - first.resident) / (size.runs - first.runs)
            what = f"memory of a finished run, from {first.runs} to {size.runs}"
            yield report.fact(what, f"{more / 1000:.1f} kB", "< 20 kB")


def loads(here: Place, options: argparse.Namespace, resolved: str) -> Iterator[Row]:
    """Compare loads with their floors."""
    yield from one_by_one(here, resolved, "pretended node")
    if options.runs:
        yield from load(here, "atonce", options.runs, None, resolved)
    if options.steady:
        yield from load(here, "steady", options.steady, options.rate, resolved)


def load(here: Place, name: str, count: int, rate: float | None, resolved: str) -> Iterator[Row]:
    """Measure one load, by hand and by the operator."""
    what = f"{count} at {rate:g} a second" if rate else f"{count} at once"
    by_hand = floor(here, count, rate, resolved)
    log = audit.Log(here.audit_log)
    with operator(here) as process:
        process.wait_until_idle()
        log.skip()
        before = process.cpu
        make(here, name, count, rate)
        process.wait_until_idle()
        used, peak = process.cpu - before, process.peak
    calls = log.read()
    spans = audit.spans(calls).values()
    yield report.versus(
        f"{what}: all", max(e for _, e in spans) - min(b for b, _ in spans), by_hand["makespan"]
    )
    each = sorted(e - b for b, e in spans)
    yield report.versus(f"{what}: each, median", median(each), median(by_hand["each"]))
    yield report.versus(
        f"{what}: each, p99", audit.quantile(each, 0.99), audit.quantile(by_hand["each"], 0.99)
    )
    yield from costs(what, calls, count)
    yield report.versus(f"{what}: CPU per 1,000 runs", used * 1000 / count, by_hand["cpu"] * 1000 / count)
    yield report.fact(f"{what}: peak memory", report.megabytes(peak))


def costs(what: str, calls: list[audit.Call], count: int) -> Iterator[Row]:
    """Yield the API calls of a load, and how soon the operator reacted."""
    late = audit.delays(calls)
    text = (
        f"p50 {report.seconds(audit.quantile(late, 0.5))}, p99 {report.seconds(audit.quantile(late, 0.99))}"
    )
    yield report.fact(f"{what}: pod ended → status written", text)
    per_run = audit.calls_per_run(calls, count)
    listed = ", ".join(f"{n} {number:.2f}" for n, number in per_run.items() if number >= 0.01)
    total = audit.reads_and_writes(per_run)
    yield report.fact(f"{what}: API calls per run, without Events", f"{total:.2f} ({listed})", "≤ 8")
    yield report.fact(f"{what}: API calls that failed", str(audit.refused(calls)))


def one_by_one(here: Place, resolved: str, where: str) -> Iterator[Row]:
    """Measure single runs, one after the other, and pairs of Jobs between them."""
    hands, ours = [], []
    log = audit.Log(here.audit_log)
    with operator(here) as process:
        process.wait_until_idle()
        for number in range(ROUNDS):
            hands.append(floor(here, 1, None, resolved)["makespan"])
            log.skip()
            make(here, f"single{number}", 1)
            [(began, ended)] = audit.spans(log.read()).values()
            ours.append(ended - began)
    yield report.versus(f"one run, {where}, median of {ROUNDS}", median(ours), median(hands))
    yield report.fact(
        f"one run, {where}: above the floor", report.seconds(median(ours) - median(hands)), "< 500 ms"
    )


def on_a_real_node(here: Place) -> Iterator[Row]:
    """Measure with a kubelet, containers and an image whose stages end at once."""
    resolved = "/data/nothing"
    yield from one_by_one(here, resolved, "real node")
    many: list[dict[str, Any]] = []
    ours = []
    log = audit.Log(here.audit_log)
    for number in range(ROUNDS):
        many.append(floor(here, 20, None, resolved))
        with operator(here) as process:
            process.wait_until_idle()
            log.skip()
            make(here, f"twenty{number}", 20)
        spans = audit.spans(log.read()).values()
        ours.append(max(e for _, e in spans) - min(b for b, _ in spans))
    yield report.versus(
        f"20 at once, real node, median of {ROUNDS}", median(ours), median(one["makespan"] for one in many)
    )


if __name__ == "__main__":
    sys.exit(main())
