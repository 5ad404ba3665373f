"""Small workflow files for plain qrun, in the shapes that people have, and what they become."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from qlib_shadow_runner.adopt.question import Adopted, adopt
from qlib_shadow_runner.adopt.read import read_original
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.prepare import render_without_data
from qlib_shadow_runner.workflow.templates import Template

if TYPE_CHECKING:
    from pathlib import Path

PLAIN = """\
qlib_init:
    provider_uri: "~/.qlib/qlib_data/cn_data"
    region: cn
pool: &pool csi300
index: &index SH000300
handler_kwargs: &handler_kwargs
    start_time: 2009-01-05
    end_time: 2019-12-31
    fit_start_time: 2009-01-05
    fit_end_time: 2014-12-31
    instruments: *pool
portfolio: &portfolio
    strategy:
        class: TopkDropoutStrategy
        module_path: qlib.contrib.strategy
        kwargs: {signal: <PRED>, topk: 30, n_drop: 3}
    backtest:
        start_time: 2017-01-03
        end_time: 2019-12-31
        account: 50000000
        benchmark: *index
        exchange_kwargs: &costs
            {limit_threshold: 0.095, deal_price: close, open_cost: 0.001, close_cost: 0.002, min_cost: 5}
task:
    model:
        class: LGBModel
        module_path: qlib.contrib.model.gbdt
        kwargs:
            loss: mse
            learning_rate: 0.1
            num_leaves: 31
            num_threads: 20
    dataset:
        class: DatasetH
        module_path: qlib.data.dataset
        kwargs:
            handler:
                class: Alpha158
                module_path: qlib.contrib.data.handler
                kwargs: *handler_kwargs
            segments:
                train: [2009-01-05, 2014-12-31]
                valid: [2015-01-05, 2016-12-30]
                test: [2017-01-03, 2019-12-31]
    record:
        - class: SignalRecord
          module_path: qlib.workflow.record_temp
          kwargs: {model: <MODEL>, dataset: <DATASET>}
        - class: SigAnaRecord
          module_path: qlib.workflow.record_temp
          kwargs: {ana_long_short: false, ann_scaler: 252}
        - class: PortAnaRecord
          module_path: qlib.workflow.record_temp
          kwargs: {config: *portfolio}
"""
MODEL = PLAIN[PLAIN.index("        class: LGBModel") : PLAIN.index("    dataset:\n        class")]
HANDLER = """\
                class: Alpha158
                module_path: qlib.contrib.data.handler
"""
RECORDS = PLAIN[PLAIN.index("    record:\n") :]
OWN_FEATURES = """\
    data_loader:
        class: QlibDataLoader
        kwargs:
            config:
                feature:
                    - ["$close/Ref($close, 5)", "Mean($close, 10)/$close"]
                    - [MOMENTUM, MEAN10]
                label:
                    - ["Ref($close, -2)/Ref($close, -1) - 1"]
                    - [LABEL0]
            freq: day
"""
INSTRUMENTS = "    instruments: *pool\n"
FIT_TIMES = "    fit_start_time: 2009-01-05\n    fit_end_time: 2014-12-31\n"
WITH_OWN_FEATURES = (
    (
        HANDLER,
        "                class: DataHandlerLP\n                module_path: qlib.data.dataset.handler\n",
    ),
    (FIT_TIMES, ""),
    (INSTRUMENTS, INSTRUMENTS + OWN_FEATURES),
)
ENSEMBLE = """\
        class: DEnsembleModel
        module_path: qlib.contrib.model.double_ensemble
        kwargs:
            base_model: gbm
            loss: mse
            num_models: 2
            enable_sr: true
            enable_fs: true
            bins_fs: 3
            decay: 0.5
            sample_ratios: [0.8, 0.6, 0.4]
            sub_weights: [1, 1]
            epochs: 20
            num_threads: 20
            verbosity: -1
"""


def changed(*changes: tuple[str, str]) -> str:
    """Return the plain file with other words in places."""
    text = PLAIN
    for before, after in changes:
        assert before in text, before
        text = text.replace(before, after, 1)
    return text


def adopted(folder: Path, *changes: tuple[str, str]) -> Adopted:
    """Return what the plain file with changes becomes."""
    file = folder / "workflow_config_mine.yaml"
    file.write_text(changed(*changes))
    return adopt(read_original(file, {}), "mine")


def workflow_of(found: Adopted) -> dict[str, Any]:
    """Return the workflow that qrun would be given, for a market of rehearsal."""
    research = render_without_data(parse_spec(found.spec), Template("mine", found.template))
    return dict(research.workflow.document)


def left_out(found: Adopted) -> list[str]:
    """Return the places of what is left out."""
    return [note.place for note in found.report.left_out]
