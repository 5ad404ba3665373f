"""Tables of pickles, without the child: what it finds and what is made of its answer."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from qlib_shadow_runner.pickles.answer import Answer
from qlib_shadow_runner.pickles.files import RECORDED_IN
from qlib_shadow_runner.pickles.machine import read_pickle
from qlib_shadow_runner.pickles.nodes import Unrecognised
from qlib_shadow_runner.pickles.recorded import FINDERS
from qlib_shadow_runner.tables.rebuild import rebuild

if TYPE_CHECKING:
    from qlib_shadow_runner.tables.layout import Tables


def tables_of(**pickles: bytes) -> Tables:
    """Return the tables of pickles, each given by the name of a table that it gives."""
    stream = io.BytesIO()
    answer = Answer(stream)
    for file, content in ((RECORDED_IN[name], content) for name, content in pickles.items()):
        try:
            for table, columns in FINDERS[file](read_pickle(content)).items():
                answer.add(table, columns)
        except Unrecognised as why:
            answer.faults[file] = str(why)
    answer.finish()
    return rebuild(stream.getvalue())
