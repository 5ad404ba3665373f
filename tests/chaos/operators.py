"""The operator as a process that may be killed at any instant and restarted."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from testcluster import PATIENCE, wait_for

if TYPE_CHECKING:
    import random
    from pathlib import Path

OURS = "QLIB_SHADOW_"
"""The prefix of the operator's settings; those of the tests are not passed to it."""

LONGEST_LIFE = 3.0
"""Seconds from when it watches or, for early kills, from its start."""
AT_WORK_SHARE = 0.75
AT_WORK = '"message": "watching '


@dataclass
class Operator:
    """An operator and its successors; all write to one log."""

    kubeconfig: Path
    namespace: str
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    starts: int = 0
    beginnings: int = 0
    """How many of the earlier processes started to watch."""

    def start(self) -> None:
        """Start it as a container would."""
        self.starts += 1
        self.beginnings = self.log.read_text().count(AT_WORK) if self.log.exists() else 0
        environment = {name: value for name, value in os.environ.items() if not name.startswith(OURS)}
        settings = {"NAMESPACES": self.namespace, "HEALTH_PORT": "0", "CLAIM_NAME": "data", **self.settings}
        with self.log.open("a") as log:
            self.process = subprocess.Popen(
                (sys.executable, "-m", "qlib_shadow_operator"),
                env=environment
                | {"KUBECONFIG": str(self.kubeconfig)}
                | {OURS + name: value for name, value in settings.items()},
                cwd=self.log.parent,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
            )

    def works(self) -> bool:
        """Return whether it has started to watch."""
        return self.log.read_text().count(AT_WORK) >= self.beginnings + 1

    def lives(self) -> bool:
        """Return whether it still runs."""
        return self.process.poll() is None

    def live_for(self, seconds: float) -> None:
        """Let it run; if it ends by itself, the test fails."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"the operator ended by itself with {code}; see {self.log}")

    def die(self, chance: random.Random) -> None:
        """Kill it at a random instant, mostly while it works, sometimes while it starts, and restart it."""
        if chance.random() < AT_WORK_SHARE:
            wait_for(self.works, PATIENCE, "an operator to begin to watch")
        self.live_for(chance.uniform(0, LONGEST_LIFE))
        self.kill()
        self.start()

    def kill(self) -> None:
        """Kill it as the kernel does."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """Stop it if it runs, and check that it logged no defect."""
        if self.lives():
            self.process.terminate()
            self.process.wait(PATIENCE)
        defects = [
            line for line in self.log.read_text().splitlines() if "defect" in line or "Traceback" in line
        ]
        assert not defects, defects[:3]
