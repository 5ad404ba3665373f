"""What a run was asked, in its folder, so that the same can be asked again: the spec and its own template."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Self

from qlib_shadow_runner.contract import ENV_TEMPLATE, RESULTS
from qlib_shadow_runner.contract.spec import QUESTION
from qlib_shadow_runner.storage.files import write_json
from qlib_shadow_runner.storage.untrusted import read_object

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from qlib_shadow_runner.runs.request import StageInput

ASKED_FILE: Final = "asked.json"


@dataclass(frozen=True)
class Asked:
    """The question of a run, as another run may have written it: nothing in it is checked yet."""

    spec: Mapping[str, Any]
    """The fields of the spec that the runner reads."""
    template: str | None
    """The text of the template of one's own, if the spec names one."""

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """Return what a run was asked; None for a run that does not say it."""
        try:
            document = read_object(folder, f"{RESULTS}/{ASKED_FILE}")
        except FileNotFoundError:
            return None
        spec, template = document.get("spec"), document.get("template")
        if not isinstance(spec, dict) or not isinstance(template, str | None):
            return None
        return cls(spec, template)


def write_asked(stage_input: StageInput) -> None:
    """Write what this run is asked; its spec is known to be valid."""
    given = stage_input.raw_spec
    assert isinstance(given, dict), "it was parsed"
    spec = {key: value for key, value in given.items() if key in QUESTION and value is not None}
    document = {"spec": spec, "template": stage_input.environ.get(ENV_TEMPLATE)}
    write_json(stage_input.folder / RESULTS / ASKED_FILE, document)
