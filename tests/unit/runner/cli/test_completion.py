"""`qlib-shadow completion`: the scripts work in real shells."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.cli.commands import SHELLS
from qlib_shadow_runner.cli.completion import script
from qlib_shadow_runner.cli.parser import all_options, build_parser, subcommands

ASK_BASH = """
source <(qlib-shadow completion bash)
COMP_WORDS=("$@")
COMP_CWORD=$(( $# - 1 ))
_qlib_shadow
printf '%s\\n' "${COMPREPLY[@]}"
"""
SYNTAX = {"bash": ["bash", "-n"], "zsh": ["zsh", "-n"], "fish": ["fish", "--no-execute"]}
ASK_FISH = "qlib-shadow completion fish | source; complete -C '{}'"


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    """Return an environment in which shells find the command and a volume with two runs."""
    for name in ("demo-1", "nightly-2"):
        folder = tmp_path / "data/artifacts/trading-ops/qlib-shadow" / name
        folder.mkdir(parents=True)
        (folder / "RUN_METADATA.json").write_text(json.dumps({"run_id": name}))
    (tmp_path / "run.yaml").touch()
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    return {"PATH": path, "HOME": str(tmp_path), "QLIB_SHADOW_DATA": str(tmp_path / "data")}


def complete(environ: dict[str, str], tmp_path: Path, *words: str) -> set[str]:
    """Return what bash suggests after some words."""
    command = ["bash", "--norc", "-c", ASK_BASH, "bash", "qlib-shadow", *words]
    done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    return set(done.stdout.split())


def test_bash_completes_commands_options_runs_and_paths(environ: dict[str, str], tmp_path: Path):
    """Each where it is allowed."""
    commands = subcommands(build_parser())
    assert complete(environ, tmp_path, "") == {*commands, "--help", "--version"}
    assert complete(environ, tmp_path, "val") == {"validate"}
    for name, command in commands.items():
        assert complete(environ, tmp_path, name, "--") == set(all_options(command)), name
    assert complete(environ, tmp_path, "prune", "--d") == {"--data", "--datasets", "--dry-run"}
    assert complete(environ, tmp_path, "show", "n") == {"nightly-2"}
    assert complete(environ, tmp_path, "verify", "demo") == {"demo-1"}
    assert complete(environ, tmp_path, "stage", "q") == {"qrun"}
    assert complete(environ, tmp_path, "completion", "") >= set(SHELLS)
    assert complete(environ, tmp_path, "runs", "--data", "da") == {"data"}
    assert complete(environ, tmp_path, "run", "--template", "run") == {"run.yaml"}


@pytest.mark.parametrize("shell", [shell for shell in SHELLS if shutil.which(shell)])
def test_installed_shells_accept_their_scripts(shell: str, tmp_path: Path):
    """The syntax is checked; nothing is run."""
    file = tmp_path / f"completion.{shell}"
    file.write_text(script(shell, build_parser()))
    done = subprocess.run([*SYNTAX[shell], str(file)], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")


@pytest.mark.parametrize("shell", SHELLS)
def test_scripts_contain_every_command_and_option(shell: str, capsys: pytest.CaptureFixture[str]):
    """A new one cannot be forgotten."""
    assert main(["completion", shell]) == 0
    printed = capsys.readouterr().out
    for name, command in subcommands(build_parser()).items():
        assert name in printed
        for option in all_options(command):
            assert (f"-l {option[2:]} " if shell == "fish" else option) in printed
    assert printed.endswith("\n")


def test_fish_completes_if_it_is_installed(environ: dict[str, str], tmp_path: Path):
    """Commands and runs."""
    if shutil.which("fish") is None:
        assert "complete -c qlib-shadow" in script("fish", build_parser())
        return
    for words, expected in (("qlib-shadow val", {"validate"}), ("qlib-shadow show n", {"nightly-2"})):
        command = ["fish", "--no-config", "-c", ASK_FISH.format(words)]
        done = subprocess.run(command, env=environ, cwd=tmp_path, capture_output=True, text=True, check=True)
        assert {line.split("\t")[0] for line in done.stdout.splitlines()} == expected, done.stderr
