"""One operator process: the real cache, queue, client and reconciler, with the model's clock and watches."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from tests.unit.operator.model.apiserver import KINDS
from tests.unit.operator.model.endpoints import Endpoints, Killed

from qlib_shadow_operator.kube.cluster import Cluster, ClusterError
from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Key
from qlib_shadow_operator.loop.reconcile import Reconciler
from qlib_shadow_operator.loop.workqueue import WorkQueue
from qlib_shadow_operator.runs.defaults import Defaults

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from tests.unit.operator.model.apiserver import ApiServer, Change
    from tests.unit.operator.model.clock import Clock
    from tests.unit.operator.model.endpoints import Mischief


@dataclass
class Timer:
    """A pass that is due at some time."""

    due: float
    ring: Callable[[], None]
    cancelled: bool = False

    def cancel(self) -> None:
        """Cancel it."""
        self.cancelled = True


@dataclass
class Process:
    """An operator process; `start` recreates what is lost with a process."""

    server: ApiServer
    clock: Clock
    line: Endpoints
    defaults: Defaults = field(default_factory=Defaults)
    heard: dict[str, int] = field(default_factory=dict)
    """How many changes of each kind the watches have delivered."""
    timers: list[Timer] = field(default_factory=list)
    deaths: int = 0
    has_gap: bool = False
    """A watch started again with a list, and the cache was not compared with full lists yet."""

    def __post_init__(self) -> None:
        self.start()

    def start(self) -> None:
        """Start with nothing but what the API server has."""
        self.timers, self.has_gap = [], False
        self.cache = ClusterCache()
        self.queue: WorkQueue[Key] = WorkQueue(self._call_later, lambda: 0.0, lambda: float(self.clock.now))
        cluster = Cluster(self.line, self.line, close_connections=lambda: None)
        self.reconciler = Reconciler(self.cache, cluster, self.defaults, lambda: self.clock.time)
        for kind in KINDS:
            self.heard[kind] = len(self.server.log[kind])
            for document in self.server.selected(kind):
                self._ask(self.cache.put(kind, document))

    def die(self) -> None:
        """Be killed and restarted."""
        self.deaths += 1
        self.start()

    def _call_later(self, delay: float, ring: Callable[[], None]) -> Timer:
        timer = Timer(self.clock.now + delay, ring)
        self.timers.append(timer)
        return timer

    def _ask(self, key: Key | None) -> None:
        if key is not None:
            self.queue.add(key)

    # --- what it receives ---------------------------------------------------------------------------

    def unheard(self, kind: str) -> int:
        """Return how many changes of a kind the watch has not delivered yet."""
        return len(self.server.log[kind]) - self.heard[kind]

    @property
    def is_current(self) -> bool:
        """Whether everything was delivered."""
        return not any(map(self.unheard, KINDS))

    def hear(self, kind: str, count: int = 1_000_000) -> None:
        """Deliver the next changes of a kind, in order."""
        begin = self.heard[kind]
        self._take(self.server.log[kind][begin : begin + count])
        self.heard[kind] = min(begin + count, len(self.server.log[kind]))

    def hear_everything(self) -> None:
        """Deliver everything, and correct gaps."""
        if self.has_gap:
            self.resync()
        for kind in KINDS:
            self.hear(kind)

    def hear_again(self, kind: str, count: int) -> None:
        """Deliver changes again, as after a reconnection."""
        end = self.heard[kind]
        self._take(self.server.log[kind][max(end - count, 0) : end])

    def reconnect(self, kind: str) -> None:
        """Deliver a list instead of the missed changes: deletions are never delivered."""
        self.has_gap = True
        self.heard[kind] = len(self.server.log[kind])
        for document in self.server.selected(kind):
            self._ask(self.cache.put(kind, document))

    def resync(self) -> None:
        """Compare the cache with full lists and enqueue every run, as workers.resync does."""
        self.has_gap = False
        for kind in KINDS:
            before = self.cache.snapshot(kind)
            self.cache.correct(kind, before, self.server.selected(kind))
        for key in self.cache.keys():  # noqa: SIM118 - not a mapping
            self.queue.add(key)

    def _take(self, changes: Iterable[Change]) -> None:
        for kind, change, document in changes:
            found = self.cache.drop(kind, document) if change == "DELETED" else self.cache.put(kind, document)
            if kind == "runs" and change == "DELETED":
                self.reconciler.forget(document["metadata"]["uid"])
            self._ask(found)

    # --- what it does -------------------------------------------------------------------------------

    def ring(self) -> bool:
        """Fire the timers that are due."""
        due = [timer for timer in self.timers if timer.due <= self.clock.now and not timer.cancelled]
        self.timers = [timer for timer in self.timers if timer not in due and not timer.cancelled]
        for timer in due:
            timer.ring()
        return bool(due)

    @property
    def next_timer(self) -> float | None:
        """Return when the next timer is due."""
        return min((timer.due for timer in self.timers if not timer.cancelled), default=None)

    def look(self, plan: Iterable[Mischief] = ()) -> bool:
        """Reconcile the next queued run, as workers.Workers does; return False if none is queued."""
        self.ring()
        if not len(self.queue):
            return False
        key = self._next()
        self.line.plan.extend(plan)
        try:
            again = self.reconciler.reconcile(key)
        except Killed:
            self.line.plan.clear()
            self.die()
            return True
        except ClusterError:
            self.queue.retry(key)
        else:
            self.queue.reset_failures(key)
            if again is not None:
                self.queue.add_after(key, again)
        self.line.plan.clear()
        self.queue.done(key)
        return True

    def _next(self) -> Key:
        """Take a key without an event loop: `get` does not wait if one is queued."""
        waiting = self.queue.get()
        try:
            waiting.send(None)
        except StopIteration as found:
            key: Key = found.value
            return key
        raise AssertionError("the queue let a look wait although a run was in line")
