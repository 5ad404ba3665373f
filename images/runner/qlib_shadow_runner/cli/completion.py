"""`qlib-shadow completion`: scripts for bash, zsh and fish, made from the parser."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from qlib_shadow_runner.cli.parser import PROGRAM, Subparsers, all_options, build_parser, subcommands
from qlib_shadow_runner.contract import ExitCode
from qlib_shadow_runner.printing import print_text

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Mapping

RUNS: Final = f"{PROGRAM} runs 2>/dev/null | awk 'NR > 1 {{print $1}}'"
"""The shell command that lists the ids of the runs."""
FOLDERS: Final = ("FOLDER",)
ZSH_KINDS: Final = {"FOLDER": ":folder:_files -/", "FILE": ":file:_files", "PATH": ":path:_files"}
FISH_KINDS: Final = {"FOLDER": " -xa '(__fish_complete_directories)'", "FILE": " -rF", "PATH": " -rF"}
"""How a shell completes the value of an option, by the word that stands for it in the help."""


def print_script(shell: str) -> int:
    """Print the script for one shell."""
    print_text(script(shell, build_parser()))
    return ExitCode.DONE


def script(shell: str, parser: argparse.ArgumentParser) -> str:
    """Return the script for one shell."""
    return SCRIPTS[shell](parser)


def _positional(command: argparse.ArgumentParser) -> argparse.Action | None:
    return next((action for action in command._actions if not action.option_strings), None)  # noqa: SLF001


def _choices(command: argparse.ArgumentParser) -> list[str]:
    positional = _positional(command)
    return [str(choice) for choice in (positional.choices or ())] if positional else []


def _takes_value(action: argparse.Action) -> bool:
    return action.nargs != 0


def _bash(parser: argparse.ArgumentParser) -> str:
    commands = subcommands(parser)
    cases = "".join(f"    {name}) words={_bash_words(command)} ;;\n" for name, command in commands.items())
    valued = sorted({name for command in commands.values() for name in _valued(command)})
    folders = sorted({name for command in commands.values() for name in _valued(command, FOLDERS)})
    others = [name for name in valued if name not in folders]
    return f"""\
# bash completion for {PROGRAM}
_{_name()}() {{
  local cur=${{COMP_WORDS[COMP_CWORD]}} prev=${{COMP_WORDS[COMP_CWORD - 1]}} words
  COMPREPLY=()
  case $prev in
    {"|".join(folders)}) mapfile -t COMPREPLY < <(compgen -d -- "$cur"); return ;;
    {"|".join(others)}) mapfile -t COMPREPLY < <(compgen -f -- "$cur"); return ;;
  esac
  case $((COMP_CWORD == 1)):${{COMP_WORDS[1]}} in
    1:*) words="{" ".join([*commands, *all_options(parser)])}" ;;
{cases.replace("    ", "    0:")}  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$cur")
}}
complete -o filenames -o bashdefault -o default -F _{_name()} {PROGRAM}
"""


def _bash_words(command: argparse.ArgumentParser) -> str:
    runs = f" $({RUNS})" if _is_run(command) else ""
    return f'"{" ".join([*_choices(command), *all_options(command)])}{runs}"'


def _valued(command: argparse.ArgumentParser, kinds: tuple[str, ...] | None = None) -> list[str]:
    """Return the options that take a value; only those of some kinds, if any are given."""
    found = {name: action for name, action in all_options(command).items() if _takes_value(action)}
    return [name for name, action in found.items() if kinds is None or action.metavar in kinds]


def _is_run(command: argparse.ArgumentParser) -> bool:
    positional = _positional(command)
    return positional is not None and positional.metavar == "RUN"


def _zsh(parser: argparse.ArgumentParser) -> str:
    commands = subcommands(parser)
    described = "\n".join(f"    {_quoted(f'{name}:{_help(parser, name)}')}" for name in commands)
    cases = "".join(
        f"    {name}) _arguments{_zsh_arguments(command)} ;;\n" for name, command in commands.items()
    )
    return f"""\
#compdef {PROGRAM}
_{_name()}() {{
  local -a commands runs
  commands=(
{described}
  )
  if (( CURRENT == 2 )); then
    _describe command commands
    return
  fi
  local command=$words[2]
  shift words
  (( CURRENT-- ))
  case $command in
{cases}  esac
}}
_{_name()}_runs() {{
  local -a runs
  runs=(${{(f)"$({RUNS})"}})
  _describe run runs
  _files -/
}}
compdef _{_name()} {PROGRAM}
"""


def _zsh_arguments(command: argparse.ArgumentParser) -> str:
    words = []
    for name, action in all_options(command).items():
        value = ZSH_KINDS.get(str(action.metavar), ":value: ")
        words.append(f"{name}[{_plain(action.help)}]{value if _takes_value(action) else ''}")
    positional = _positional(command)
    if positional is not None:
        kinds = {"FILE": "_files", "RUN": f"_{_name()}_runs"}
        kind = kinds.get(str(positional.metavar), f"({' '.join(_choices(command))})")
        words.append(f"1:{positional.dest}:{kind}")
    return "".join(f" \\\n      {_quoted(word)}" for word in words)


def _fish(parser: argparse.ArgumentParser) -> str:
    lines = [f"# fish completion for {PROGRAM}", f"complete -c {PROGRAM} -f"]
    for name, command in subcommands(parser).items():
        about = _quoted(_help(parser, name))
        lines.append(f"complete -c {PROGRAM} -n __fish_use_subcommand -a {name} -d {about}")
        here = f"complete -c {PROGRAM} -n '__fish_seen_subcommand_from {name}'"
        lines += [f"{here} {line}" for line in _fish_arguments(command)]
    return "\n".join(lines) + "\n"


def _fish_arguments(command: argparse.ArgumentParser) -> list[str]:
    lines = []
    for name, action in all_options(command).items():
        value = FISH_KINDS.get(str(action.metavar), " -x") if _takes_value(action) else ""
        lines.append(f"-l {name.removeprefix('--')}{value} -d {_quoted(_plain(action.help))}")
    positional = _positional(command)
    if positional is not None and positional.metavar == "FILE":
        lines.append("-F")
    if _is_run(command):
        lines.append(f"-a {_quoted(f'({RUNS})')}")
    return lines + [f"-a {choice}" for choice in _choices(command)]


def _help(parser: argparse.ArgumentParser, name: str) -> str:
    """Return a command's summary in the list of commands."""
    [commands] = [action for action in parser._actions if action.choices and not action.option_strings]  # noqa: SLF001
    assert isinstance(commands, Subparsers), "only commands have choices and no dashes"
    listed = commands._get_subactions()  # noqa: SLF001
    return _plain(next(action.help for action in listed if action.dest == name))


def _plain(text: str | None) -> str:
    """Return the text without the characters that have a meaning in a shell's description."""
    return (
        (text or "")
        .replace("[", "(")
        .replace("]", ")")
        .replace(":", ",")
        .replace("'", "\N{RIGHT SINGLE QUOTATION MARK}")
    )


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "'\\''") + "'"


def _name() -> str:
    return PROGRAM.replace("-", "_")


SCRIPTS: Final[Mapping[str, Callable[[argparse.ArgumentParser], str]]] = {
    "bash": _bash,
    "zsh": _zsh,
    "fish": _fish,
}
