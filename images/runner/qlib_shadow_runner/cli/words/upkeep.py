"""What may be typed to keep a machine and a volume in order: prune, cache, doctor, completion."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.words.shared import add_command, add_data, add_json

if TYPE_CHECKING:
    from qlib_shadow_runner.cli.words.shared import Commands, Parser

CACHE_ACTIONS: Final = ("ls", "clear")
SHELLS: Final = ("bash", "zsh", "fish")
_PRUNE: Final = """\
Runs that have not ended, the dataset versions they use, the versions that a name points at, and whatever
qlib-shadow did not make are never removed. A run that was interrupted, or failed where another attempt may
help, counts as one that has not ended, for seven days."""
_CACHE: Final = """\
Features are kept under the hash of the data, the question and the code, and what LightGBM bins of them under
the hash of the values, so that each is computed once. What is removed is computed again; a run that is
reading it goes on. The longest unused go by themselves."""
_COMPLETION: Final = """\
bash:  source <(qlib-shadow completion bash)                       in ~/.bashrc
zsh:   source <(qlib-shadow completion zsh)                        in ~/.zshrc, after compinit
fish:  qlib-shadow completion fish | source                        in ~/.config/fish/config.fish"""


def add_prune(commands: Commands[Parser]) -> None:
    """Take `prune`."""
    prune = add_command(commands, "prune", "remove old run folders and unused dataset versions", _PRUNE)
    add_data(prune)
    prune.add_argument(
        "--keep", metavar="N", help="never remove the N newest runs; alone, remove all the others"
    )
    prune.add_argument("--older-than", metavar="DAYS", help="remove runs that began more than DAYS ago")
    prune.add_argument("--max-size", metavar="SIZE", help="remove the oldest runs until all fit, such as 10G")
    only = prune.add_mutually_exclusive_group()
    only.add_argument("--datasets", action="store_true", help="only dataset versions")
    only.add_argument("--run-folders", action="store_true", help="only run folders")
    prune.add_argument("--dry-run", action="store_true", help="print the same and remove nothing")
    add_json(prune)


def add_cache(commands: Commands[Parser]) -> None:
    """Take `cache`."""
    cache = add_command(
        commands, "cache", "list or remove the features and binned data that are kept", _CACHE
    )
    cache.add_argument("action", choices=CACHE_ACTIONS)
    add_data(cache)
    cache.add_argument(
        "--max-size", metavar="SIZE", help="with clear: keep the last used that fit, such as 10G"
    )
    add_json(cache)


def add_doctor(commands: Commands[Parser]) -> None:
    """Take `doctor`."""
    doctor = add_command(commands, "doctor", "check whether runs can be done here")
    add_data(doctor)
    add_json(doctor)


def add_completion(commands: Commands[Parser]) -> None:
    """Take `completion`."""
    summary = "print a script that lets a shell complete what is typed"
    completion = add_command(commands, "completion", summary, _COMPLETION)
    completion.add_argument("shell", choices=SHELLS)
