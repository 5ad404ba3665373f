"""Named points at which a test may let the process die as if the node had lost power.

Nothing happens unless QLIB_SHADOW_FAULT names the point; then it is SIGKILL, which runs no cleanup.
"""

from __future__ import annotations

import os
import signal
from typing import Final

ENV_FAULT: Final = "QLIB_SHADOW_FAULT"


def fault_point(name: str) -> None:
    """Die here, if that is what the environment asks for."""
    if os.environ.get(ENV_FAULT) == name:
        os.kill(os.getpid(), signal.SIGKILL)
