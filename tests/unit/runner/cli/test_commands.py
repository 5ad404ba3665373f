"""The table of commands agrees with the functions that do the work."""

from __future__ import annotations

import argparse
import inspect
from pathlib import Path

import pytest

from qlib_shadow_runner.cli.commands import COMMANDS, load_command
from qlib_shadow_runner.cli.parser import all_options, build_parser, subcommands
from qlib_shadow_runner.contract import ENV_DATA

WITH_DATA = sorted(name for name, one in subcommands(build_parser()).items() if "--data" in all_options(one))


@pytest.mark.parametrize("name", COMMANDS)
def test_each_function_takes_the_options_of_its_command(name: str):
    """Each option is a parameter, and each parameter without a default is an option."""
    actions = subcommands(build_parser())[name]._actions
    options = {action.dest for action in actions if action.dest != argparse.SUPPRESS} - {"help"}
    parameters = inspect.signature(load_command(name)).parameters
    required = {name for name, one in parameters.items() if one.default is inspect.Parameter.empty}
    assert required <= options <= set(parameters)


@pytest.mark.parametrize("name", WITH_DATA)
def test_data_folder_is_from_option_else_environment_else_default(name: str, monkeypatch: pytest.MonkeyPatch):
    """Commands that look at one run's own volume get None, and look for the run by the same rule."""

    def default() -> object:
        option = all_options(subcommands(build_parser())[name])["--data"]
        assert f"(default: {ENV_DATA}, else ./data)" in str(option.help)
        return option.default

    monkeypatch.setenv(ENV_DATA, "by-environment")
    by_environment = default()
    monkeypatch.delenv(ENV_DATA)
    expected = (None, None) if name in {"report", "verify"} else (Path("by-environment"), Path("data"))
    assert (by_environment, default()) == expected


def test_only_a_few_commands_need_no_volume():
    """All others take its folder."""
    assert set(COMMANDS) - set(WITH_DATA) == {"validate", "adopt", "stage", "completion"}
