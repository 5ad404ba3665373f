"""The options that several commands take.

An option is a function that adds itself to a parser or to a group of options. Its `dest` is the name of the
parameter that receives the value in the command's function.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract import ENV_DATA

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable

    AddOption = Callable[[argparse._ActionsContainer], object]  # noqa: SLF001 - it has no other name

DEFAULT_DATA: Final = "data"


def option(*names: str, **settings: Any) -> AddOption:
    """Return an option, or with a name without dashes a positional argument."""
    return lambda parser: parser.add_argument(*names, **settings)


def one_of(*options: AddOption) -> AddOption:
    """Return a group of options of which at most one may be given."""

    def add_group(parser: argparse._ActionsContainer) -> None:
        group = parser.add_mutually_exclusive_group()
        for add_option in options:
            add_option(group)

    return add_group


def default_data() -> Path:
    """Return the volume's folder where --data is not given."""
    return Path(os.environ.get(ENV_DATA) or DEFAULT_DATA)


def _data(help_text: str, default: Callable[[], Path | None]) -> AddOption:
    """Return the option --data; its default is read from the environment when a command is called."""
    return lambda parser: parser.add_argument(
        "--data",
        type=Path,
        default=default(),
        metavar="FOLDER",
        help=f"{help_text} (default: {ENV_DATA}, else ./{DEFAULT_DATA})",
    )


def manifest_path(name: str) -> Path:
    """Return the path of a file that is read once, where - is stdin."""
    return Path("/dev/stdin" if name == "-" else name)


def output(default: str) -> AddOption:
    """Return the option for the file that a page is written to."""
    return option(
        "--output", type=Path, metavar="FILE", help=f"where the page is written (default: {default})"
    )


FILE: Final = option(
    "file", type=manifest_path, metavar="FILE", help="the manifest that kubectl would apply, or - for stdin"
)
RUN: Final = option("run", metavar="RUN", help="its id, the beginning of its id, or its folder")
TEMPLATE: Final = option(
    "--template",
    type=Path,
    metavar="FILE",
    help="the text of spec.workflow.configMapRef (default: that of the ConfigMap in the manifest's file)",
)
DATA: Final = _data("the folder that stands for /data", default_data)
DATA_IF_GIVEN: Final = _data(
    "the volume: where RUN is looked for, and where its dataset is if its folder was moved", lambda: None
)
"""None where it is not given: then the dataset is on the volume that the run's folder is on."""
SERIES: Final = option("--series", metavar="NAME", help="only this series, or the beginning of a recipe")
OUT: Final = option(
    "--out", type=Path, metavar="FILE", help="write to this file, whole or not at all, and not to stdout"
)
PRICES: Final = option(
    "--prices",
    type=Path,
    metavar="PATH",
    help="a file or folder that is read in place of spec.dataset.source.prices.path, wherever it lies",
)
JSON: Final = option(
    "--json",
    dest="as_json",
    action="store_true",
    help="print JSON and nothing else; failures as {reason, message, exitCode}",
)
DEADLINE: Final = option(
    "--deadline",
    metavar="TIME",
    help="how long each stage may take, such as 45m or 8h, or none (default: "
    "stages.<stage>.activeDeadlineSeconds of the spec, else 1h for download, 4h for qrun and 30m for ledger)",
)
