"""The operator as a process of its own, that may be killed at any instant and started again."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path

OURS = "QLIB_SHADOW_"
"""The prefix of the operator's settings: what the tests are told by such names is not for it."""


@dataclass
class Operator:
    """One operator and its successors; all of them write into one log."""

    kubeconfig: Path
    namespace: str
    log: Path
    settings: dict[str, str] = field(default_factory=dict)
    starts: int = 0

    def start(self) -> None:
        """Start it as a container would."""
        self.starts += 1
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

    def lives(self) -> bool:
        """Whether it is still there."""
        return self.process.poll() is None

    def live_for(self, seconds: float) -> None:
        """Let it work for so long; an end of its own would be a defect."""
        try:
            code = self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            return
        raise AssertionError(f"the operator ended by itself with {code}; see {self.log}")

    def kill(self) -> None:
        """End it as the kernel does: without a word."""
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def stop(self) -> None:
        """End it if it lives, and see that nothing went wrong that it calls a defect."""
        if self.lives():
            self.process.terminate()
            self.process.wait(60)
        defects = [
            line for line in self.log.read_text().splitlines() if "defect" in line or "Traceback" in line
        ]
        assert not defects, defects[:3]
