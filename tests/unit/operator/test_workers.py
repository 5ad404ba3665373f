"""The workers: serial for one run, parallel for several, retrying after failures, with a liveness check."""

from __future__ import annotations

import asyncio
import threading
from collections import Counter
from typing import TYPE_CHECKING, Any

import pytest
from tests.unit.operator.documents import a_job_document, a_run_document

from qlib_shadow_operator.kube.cluster import ClusterError, ConflictError
from qlib_shadow_operator.loop import workers as workers_module
from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Key
from qlib_shadow_operator.loop.workers import Workers, compare, resync
from qlib_shadow_operator.loop.workqueue import WorkQueue

if TYPE_CHECKING:
    from collections.abc import Callable

A, B = Key("n", "a"), Key("n", "b")


def drive(
    look: Callable[[Key], float | None],
    *,
    until: Callable[[], bool],
    keys: tuple[Key, ...] = (A,),
    reconciled: Callable[[str, float], None] = lambda _outcome, _seconds: None,
) -> Workers:
    """Run workers until a condition holds, with timers that fire at once."""

    async def main() -> Workers:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[Key] = WorkQueue(lambda _delay, ring: loop.call_soon(ring), lambda: 0.0, loop.time)
        workers = Workers(queue, look, 4, reconciled=reconciled)
        workers.start()
        workers.begin()
        for key in keys:
            queue.add(key)
        async with asyncio.timeout(10):
            while not until():  # noqa: ASYNC110 - threads cannot set an asyncio.Event
                await asyncio.sleep(0)
        await workers.stop()
        return workers

    return asyncio.run(main())


def test_passes_over_one_run_never_overlap():
    """Each pass requests the next one at once, with four workers."""
    at_work: Counter[Key] = Counter()
    overlaps, looks = [], []

    def look(key: Key) -> float | None:
        at_work[key] += 1
        overlaps.append(at_work[key] > 1)
        looks.append(key)
        at_work[key] -= 1
        return 0.0

    drive(look, until=lambda: len(looks) > 50, keys=(A, A, B))
    assert not any(overlaps)
    assert set(looks) == {A, B}


def test_passes_over_two_runs_overlap():
    """One slow run does not block the others."""
    meeting = threading.Barrier(2, timeout=10)
    met = []

    def look(key: Key) -> float | None:
        meeting.wait()
        met.append(key)
        return None

    drive(look, until=lambda: len(met) == 2, keys=(A, B))


@pytest.mark.parametrize("error", [ClusterError("busy"), ZeroDivisionError("a defect")])
def test_failed_pass_is_repeated(error: Exception):
    """After any error."""
    looks = []

    def look(key: Key) -> float | None:
        looks.append(key)
        if len(looks) < 3:
            raise error
        return None

    drive(look, until=lambda: len(looks) == 3)


def test_pass_in_progress_runs_to_its_end():
    """Stopping interrupts no write."""
    begun, may_end = threading.Event(), threading.Event()
    ended = []

    def look(key: Key) -> float | None:
        begun.set()
        threading.Timer(0.05, may_end.set).start()
        may_end.wait(10)
        ended.append(key)
        return None

    drive(look, until=begun.is_set)
    assert ended == [A]


def test_dead_task_is_reported():
    """The liveness probe restarts the process."""

    async def main() -> tuple[str | None, str | None]:
        loop = asyncio.get_running_loop()
        workers = Workers(WorkQueue(loop.call_later, lambda: 0.0, loop.time), lambda _key: None, 1)
        end: asyncio.Queue[None] = asyncio.Queue()
        workers.start(asyncio.create_task(end.get(), name="resync"))
        before = await asyncio.to_thread(workers.loop_problem)
        await end.put(None)
        await asyncio.sleep(0)
        after = await asyncio.to_thread(workers.loop_problem)
        await workers.stop()
        return before, after

    assert asyncio.run(main()) == (None, "these tasks have ended: resync")


def test_hanging_loop_is_reported(monkeypatch: pytest.MonkeyPatch):
    """Blocking code ran in the event loop."""
    monkeypatch.setattr(workers_module, "LOOP_TIMEOUT_SECONDS", 0.0)
    found = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        workers = Workers(WorkQueue(loop.call_later, lambda: 0.0, loop.time), lambda _key: None, 1)
        workers.start()
        thread = threading.Thread(target=lambda: found.append(workers.loop_problem()))
        thread.start()
        thread.join()  # the event loop blocks with it
        await workers.stop()

    asyncio.run(main())
    assert found == ["the event loop has hung for 0 s"]


def test_every_pass_is_reported_with_its_outcome():
    """And the log has the run."""
    outcomes: list[str] = []
    errors = [ConflictError("409"), ClusterError("busy"), ZeroDivisionError("a defect"), None]

    def look(_key: Key) -> float | None:
        if error := errors.pop(0):
            raise error
        return None

    drive(
        look, until=lambda: len(outcomes) == 4, reconciled=lambda outcome, _seconds: outcomes.append(outcome)
    )
    assert outcomes == ["conflict", "failed", "defect", "done"]


def test_resync_lists_each_kind_in_each_namespace():
    """And corrects the cache."""

    class Lists:
        asked: list[tuple[str, str | None]] = []  # noqa: RUF012

        def list_documents(self, kind: str, namespace: str | None) -> list[dict[str, Any]]:
            self.asked.append((kind, namespace))
            return {"runs": [a_run_document(1)], "jobs": [a_job_document(2)], "pods": []}[kind]

    cache, lists = ClusterCache(), Lists()
    compare(cache, lists, ("one", "two"))
    assert lists.asked == [(kind, name) for kind in ("runs", "jobs", "pods") for name in ("one", "two")]
    run, observed = cache.gather(Key("research", "demo"))
    assert run is not None
    assert len(observed.jobs) == 1


class Lists:
    """An API server that fails at first."""

    def __init__(self, failures: int) -> None:
        self.failures = failures

    def list_documents(self, kind: str, namespace: str | None) -> list[dict[str, Any]]:
        """Return one run."""
        del namespace
        if self.failures:
            self.failures -= 1
            raise ClusterError("busy")
        return [a_run_document(1)] if kind == "runs" else []


def test_watch_gap_causes_a_resync_at_once():
    """Deletions in the gap are found long before the next periodic resync."""
    compared: list[int] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[Key] = WorkQueue(loop.call_later, lambda: 0.0, loop.time)
        cache, gap, again = ClusterCache(), asyncio.Event(), asyncio.Event()
        cache.put("runs", a_run_document(1))
        cache.put("jobs", a_job_document(2))

        def note() -> None:
            compared.append(len(cache.gather(Key("research", "demo"))[1].jobs))
            again.set()

        lister = Lists(failures=0)
        task = asyncio.create_task(
            resync(cache, queue, lister, (None,), period=600, watched=lambda: True, gap=gap, compared=note)
        )
        async with asyncio.timeout(10):
            for number in range(2):
                await again.wait()
                again.clear()
                cache.put("jobs", a_job_document(3 + number))  # one whose deletion the watch does not deliver
                gap.set()
            await again.wait()
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(main())
    assert compared == [0, 0, 0]


def test_no_pass_before_the_first_lists_are_complete(monkeypatch: pytest.MonkeyPatch):
    """However early a watch delivers a run, and however long the lists take."""
    monkeypatch.setattr(workers_module, "RESYNC_RETRY_SECONDS", 0.0)
    story: list[str] = []

    async def main() -> None:
        loop = asyncio.get_running_loop()
        queue: WorkQueue[Key] = WorkQueue(loop.call_later, lambda: 0.0, loop.time)
        workers, reconciled = Workers(queue, lambda key: story.append(f"look {key.name}"), 2), asyncio.Event()
        workers._looked = lambda _outcome, _seconds: reconciled.set()
        cache, watched = ClusterCache(), asyncio.Event()

        def compared() -> None:
            story.append("compared")
            workers.begin()

        lister = Lists(failures=2)
        gap = asyncio.Event()
        again = resync(
            cache, queue, lister, (None,), period=600, watched=watched.is_set, gap=gap, compared=compared
        )
        workers.start(asyncio.create_task(again))
        queue.add(Key("research", "demo"))
        story.append("watched")
        watched.set()
        async with asyncio.timeout(10):
            await reconciled.wait()
        await workers.stop()

    asyncio.run(main())
    assert story == ["watched", "compared", "look demo"]
