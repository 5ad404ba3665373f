"""`python -m qlib_shadow_operator.schedule`: carry out one firing of a schedule, and print what was done."""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from qlib_shadow_operator.kube.cluster import Cluster, ClusterError, NoClusterError, RefusedError
from qlib_shadow_operator.printing import print_error, print_line
from qlib_shadow_operator.schedule.fire import fire
from qlib_shadow_operator.schedule.firing import ENV_SCHEDULE, Firing, FiringError
from qlib_shadow_operator.schedule.firing_plan import NameTakenError
from qlib_shadow_operator.schedule.parse_schedule import ScheduleError, parse_schedule
from qlib_shadow_runner.contract import ENV_TERMINATION_LOG, TERMINATION_MESSAGE_BYTES, ExitCode
from qlib_shadow_runner.contract.escapes import in_a_sentence

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from qlib_shadow_operator.schedule.fire import FiringApi


def main(environ: Mapping[str, str], connect: Callable[[], FiringApi]) -> ExitCode:
    """Carry out the firing; write the outcome to the log and to the pod's termination message."""
    code, said = attempt(environ, connect)
    message = in_a_sentence(said)
    (print_error if code else print_line)(message)
    if place := environ.get(ENV_TERMINATION_LOG):
        Path(place).write_bytes(message.encode()[:TERMINATION_MESSAGE_BYTES])
    return code


def attempt(environ: Mapping[str, str], connect: Callable[[], FiringApi]) -> tuple[ExitCode, str]:
    """Carry out the firing once; return the outcome, and the exit code by which the Job may retry."""
    try:
        schedule = parse_schedule(environ.get(ENV_SCHEDULE, ""))
        firing = Firing.from_environ(environ)
        done = fire(connect(), schedule, firing, datetime.now(UTC))
    except ScheduleError as error:
        return ExitCode.BAD_CONFIG, f"{ENV_SCHEDULE}: {error}"
    except (FiringError, NoClusterError) as error:
        return ExitCode.BAD_CONFIG, str(error)
    except NameTakenError as error:
        return ExitCode.BAD_CONFIG, f"schedule {schedule.name}: {error}"
    except RefusedError as error:
        code = ExitCode.BAD_CONFIG if error.permanent else ExitCode.TRANSIENT
        return code, f"schedule {schedule.name}: the API server refuses it: {error}"
    except ClusterError as error:
        return ExitCode.TRANSIENT, f"schedule {schedule.name}: {error}"
    return ExitCode.DONE, f"schedule {schedule.name}: " + "; ".join(done)


if __name__ == "__main__":
    sys.exit(main(os.environ, lambda: Cluster.connect(1)))
