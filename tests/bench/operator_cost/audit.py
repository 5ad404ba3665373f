"""The API server's audit log: every call of the operator, and every pod that kwok ended."""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from dataclasses import dataclass
from datetime import datetime
from itertools import pairwise
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

POD: Final = re.compile(r"(?P<run>.+)-[0-9a-f]{8}-(download|qrun)-[a-z0-9]{5}")
REFUSED: Final = 400


@dataclass(frozen=True)
class Call:
    """One call to the API server."""

    user: str
    verb: str
    what: str
    """The resource, with its subresource."""
    name: str
    code: int
    began: float
    ended: float


@dataclass
class Log:
    """Reads the log from where it stopped."""

    path: Path
    position: int = 0

    def skip(self) -> None:
        """Skip what was logged so far."""
        self.position = self.path.stat().st_size

    def read(self) -> list[Call]:
        """Return everything since the last skip."""
        with self.path.open("rb") as file:
            file.seek(self.position)
            return [parse(json.loads(line)) for line in file if line.endswith(b"\n")]


def parse(event: dict[str, object]) -> Call:
    """Return one line as a call."""
    about, user, answer = (event.get(name) or {} for name in ("objectRef", "user", "responseStatus"))
    assert isinstance(about, dict)
    assert isinstance(user, dict)
    assert isinstance(answer, dict)
    inner = about.get("subresource")
    return Call(
        user=user["username"],
        verb=str(event["verb"]),
        what=about.get("resource", "") + (f"/{inner}" if inner else ""),
        name=about.get("name", ""),
        code=answer.get("code", 0),
        began=seconds(event["requestReceivedTimestamp"]),
        ended=seconds(event["stageTimestamp"]),
    )


def seconds(time: object) -> float:
    """Return a time stamp in seconds."""
    return datetime.fromisoformat(str(time)).timestamp()


def of(calls: Iterable[Call], user: str, verb: str = "", what: str = "") -> list[Call]:
    """Return the matching calls, in the order in which they ended."""
    found = [c for c in calls if c.user == user and verb in {"", c.verb} and what in {"", c.what}]
    return sorted(found, key=lambda call: call.ended)


def calls_per_run(calls: Iterable[Call], runs: int) -> dict[str, float]:
    """Return the operator's calls per run by verb and resource, with watches that ended."""
    counts = Counter(f"{call.verb} {call.what}" for call in of(calls, "operator"))
    return {name: count / runs for name, count in counts.most_common()}


def reads_and_writes(per_run: dict[str, float]) -> float:
    """Return their sum without Events."""
    return sum(count for name, count in per_run.items() if not name.endswith(" events"))


def spans(calls: list[Call]) -> dict[str, tuple[float, float]]:
    """Return each run's creation, and the last change of its status."""
    made = {c.name: c.ended for c in of(calls, "person", "create", "qlibshadowruns")}
    last = {c.name: c.ended for c in of(calls, "operator", "patch", "qlibshadowruns/status")}
    return {name: (began, last[name]) for name, began in made.items() if name in last}


def delays(calls: list[Call]) -> list[float]:
    """Return for each pod the time from its end to the next change of its run's status."""
    ends: dict[str, float] = {c.name: c.ended for c in of(calls, "kwok", "patch", "pods/status")}
    changes = defaultdict(list)
    for call in of(calls, "operator", "patch", "qlibshadowruns/status"):
        if call.code < REFUSED:
            changes[call.name].append(call)
    found = []
    for pod, ended in ends.items():
        if match := POD.fullmatch(pod):
            after = [call.ended - ended for call in changes[match["run"]] if call.began > ended]
            found += after[:1]
    return sorted(found)


def refused(calls: list[Call]) -> int:
    """Return the number of the operator's calls that failed."""
    return sum(1 for call in of(calls, "operator") if call.code >= REFUSED)


def rounds(calls: list[Call], quiet: float = 3.0) -> list[list[Call]]:
    """Return the operator's lists grouped into resyncs."""
    lists = of(calls, "operator", "list")
    cuts = [i for i, (a, b) in enumerate(pairwise(lists), 1) if b.began - a.ended > quiet]
    return [lists[a:b] for a, b in pairwise([0, *cuts, len(lists)])]


def quantile(values: list[float], share: float) -> float:
    """Return a quantile of sorted values."""
    return values[min(int(len(values) * share), len(values) - 1)] if values else float("nan")
