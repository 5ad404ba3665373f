"""Call the function of the command that was typed, and report every failure in one way."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.commands import load_command
from qlib_shadow_runner.cli.exit_codes import INTERRUPTED_BY_HAND, WRONG_USAGE
from qlib_shadow_runner.cli.parser import PROGRAM, UsageError, build_parser
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError, from_os_error, unexpected
from qlib_shadow_runner.printing import print_error_text, print_json

if TYPE_CHECKING:
    from collections.abc import Sequence

WRONG_USAGE_REASON: Final = "WrongUsage"


def main(arguments: Sequence[str]) -> int:
    """Run one command and return its exit code; every failure is printed as one sentence."""
    as_json = "--json" in arguments
    try:
        options = vars(build_parser().parse_args(arguments))
        return load_command(options.pop("command"))(**options)
    except UsageError as error:
        print_error_text("" if as_json else error.usage)
        return _fail(WRONG_USAGE_REASON, error.message, WRONG_USAGE, as_json=as_json)
    except StageError as error:
        failure = error
    except BrokenPipeError:  # the program that reads our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 0
    except OSError as error:
        failure = from_os_error(error)
    except KeyboardInterrupt:
        return _fail(Reason.INTERRUPTED, "interrupted by hand", INTERRUPTED_BY_HAND, as_json=as_json)
    except Exception as error:  # noqa: BLE001 - the last place that can turn an error into a sentence
        failure = unexpected(error)
    return _fail(failure.reason, failure.message, failure.exit_code, as_json=as_json)


def _fail(reason: str, message: str, code: int, *, as_json: bool) -> int:
    if as_json:
        print_json({"reason": reason, "message": message, "exitCode": code})
    else:
        print_error_text(f"{PROGRAM}: {reason}: {message}\n")
    return code
