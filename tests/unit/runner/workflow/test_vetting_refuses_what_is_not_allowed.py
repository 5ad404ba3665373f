"""Vetting refuses everything that Qlib would import, call, evaluate, open or unpickle."""

from __future__ import annotations

import pytest
from ruamel.yaml import YAML
from tests.unit.runner.workflow.workflow_builders import BUILT_IN, PrepareIt, own
from tests.unit.runner.workflow.workflow_builders import HANDLER as HANDLER_CLASS

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.workflow.bounded_yaml import DEEPEST, LARGEST
from qlib_shadow_runner.workflow.parsed import parse
from qlib_shadow_runner.workflow.vetting import vet

MODEL = """  model:
    class: LGBModel"""
KWARGS = "      loss: mse\n"
HANDLER = BUILT_IN[BUILT_IN.index(HANDLER_CLASS) : BUILT_IN.index("          start_time: {{ segments.train")]
PROCESSORS = HANDLER + "          learn_processors: "
LABEL = HANDLER + "          label: "
HANDLER_TO_FIT_TIMES = BUILT_IN[
    BUILT_IN.index(HANDLER) : BUILT_IN.index("          # The benchmark is measured")
]
OWN_HANDLER = """        class: DataHandlerLP
        module_path: qlib.data.dataset.handler
        kwargs:
          start_time: {{ segments.train[0] }}
          end_time: {{ segments.test[1] }}
"""
PICKLES = "          data_loader: {class: StaticDataLoader, kwargs: {config: /tmp/x.pkl}}\n"
FUTURE = """          data_loader:
            class: QlibDataLoader
            kwargs:
              config: {feature: ['Ref($close, -1)/$close'], label: ['Ref($close, -1)/$close']}
"""
EXCHANGE = "                  freq: day\n"
EXECUTOR = """            class: SimulatorExecutor
            module_path: qlib_shadow_runner.plugins.backtest.executor
"""
EXCHANGE_KWARGS = "            exchange_kwargs:\n"

REFUSED: dict[str, tuple[tuple[str, str], str]] = {
    # sections that qrun acts on
    "a path for imports": (("qlib_init:", "sys: {path: /tmp}\nqlib_init:"), 'workflow has "sys"'),
    "a relative path for imports": (("qlib_init:", "sys: {rel_path: .}\nqlib_init:"), 'workflow has "sys"'),
    "a base file": (("qlib_init:", "BASE_CONFIG_PATH: /tmp/x\nqlib_init:"), 'has "BASE_CONFIG_PATH"'),
    "another experiment": (("qlib_init:", "experiment_name: x\nqlib_init:"), 'has "experiment_name"'),
    "another recorder": (
        ("  kernels: 1", "  kernels: 1\n  exp_manager: {class: os.system}"),
        'workflow.qlib_init has "exp_manager"',
    ),
    "operators of one's own": (
        ("  kernels: 1", "  kernels: 1\n  custom_ops: [{class: X, module_path: /tmp/x.py}]"),
        'workflow.qlib_init has "custom_ops"',
    ),
    "a cache server": (("  kernels: 1", "  kernels: 1\n  redis_host: evil"), 'has "redis_host"'),
    "a mount": (("  kernels: 1", "  kernels: 1\n  auto_mount: true"), 'has "auto_mount"'),
    "logging to a class": (("  kernels: 1", "  kernels: 1\n  logging_config: {}"), 'has "logging_config"'),
    "more processes": (("  kernels: 1", "  kernels: 8"), "workflow.qlib_init.kernels is 8; it must be 1"),
    "true for one": (("  kernels: 1", "  kernels: true"), "kernels is True; it must be 1"),
    "another weighting": (("task:\n", "task:\n  reweighter: x\n"), 'workflow.task has "reweighter"'),
    # classes
    "a class with its module in its name": (
        (MODEL, "  model:\n    class: os.system"),
        "workflow.task.model names os.system, which is not among the classes",
    ),
    "a class whose name beats the module": (
        (MODEL, "  model:\n    class: subprocess.Popen"),
        "names subprocess.Popen",
    ),
    "a class without a module": (
        ("    module_path: qlib_shadow_runner.plugins.lightgbm\n", ""),
        "names None.LGBModel",
    ),
    "a known module's other class": (
        (MODEL, "  model:\n    class: log_synchronously"),
        "names qlib_shadow_runner.plugins.lightgbm.log_synchronously",
    ),
    "a file as a module": (
        ("    module_path: qlib_shadow_runner.plugins.lightgbm", "    module_path: /tmp/x.py"),
        "names /tmp/x.py.LGBModel",
    ),
    "a function": ((MODEL, "  model:\n    func: os.system"), "it must be a mapping with class"),
    "a function beside a class": (
        (MODEL, MODEL + "\n    func: os.system"),
        'workflow.task.model has "func"',
    ),
    "a class in the wrong place": (
        (MODEL, "  model:\n    class: qlib.data.dataset.DatasetH"),
        "names qlib.data.dataset.DatasetH",
    ),
    "a list for a class": ((MODEL, "  model:\n    class: [LGBModel]"), "names"),
    "a pickle for a model": (
        ("      model: <MODEL>".rjust(4), "      model: file:///tmp/x.pkl"),
        ".model is 'file:///tmp/x.pkl'; it must be \"<MODEL>\"",
    ),
    "a word for a dataset": (
        ("        dataset: <DATASET>", "        dataset: qlib.data.dataset.DatasetH"),
        'it must be "<DATASET>"',
    ),
    "a pickle for predictions": (
        ("              signal: <PRED>", "              signal: file:///tmp/x.pkl"),
        'it must be "<PRED>"',
    ),
    "a model and a dataset for predictions": (
        ("              signal: <PRED>", "              signal: [<MODEL>, <DATASET>]"),
        'it must be "<PRED>"',
    ),
    "a loader of pickles": (
        (
            HANDLER,
            HANDLER + "          data_loader: {class: StaticDataLoader, kwargs: {config: /tmp/x.pkl}}\n",
        ),
        'has "data_loader"',
    ),
    "another handler's loader of pickles": (
        (HANDLER_TO_FIT_TIMES, OWN_HANDLER + PICKLES),
        "names qlib.data.dataset.loader.StaticDataLoader",
    ),
    "a processor by name alone": ((HANDLER, PROCESSORS + "[DropnaLabel]\n"), "it must be a mapping with"),
    "a processor that is a file": (
        (HANDLER, PROCESSORS + "['file:///tmp/x.pkl']\n"),
        "learn_processors[0] is 'file:///tmp/x.pkl'; it must be a mapping with class",
    ),
    "a foreign processor": (
        (HANDLER, PROCESSORS + "[{class: HashStockFormat}]\n"),
        "names qlib.data.dataset.processor.HashStockFormat",
    ),
    "a processor of another module": (
        (HANDLER, PROCESSORS + "[{class: DropnaLabel, module_path: /tmp/x.py}]\n"),
        "names /tmp/x.py.DropnaLabel",
    ),
    "a processor with more to say": (
        (HANDLER, PROCESSORS + "[{class: DropnaLabel, kwargs: {func: eval}}]\n"),
        'has "func", which a shadow run does not take',
    ),
    "a processor of single instruments": (
        (HANDLER, HANDLER + "          inst_processors: [{class: os.system}]\n"),
        'has "inst_processors"',
    ),
    "a filter that is evaluated": (
        (HANDLER, HANDLER + "          filter_pipe: [{filter_type: ExpressionDFilter}]\n"),
        'has "filter_pipe"',
    ),
    "another executor": (
        (EXECUTOR, "            class: os.system\n"),
        "names os.system",
    ),
    "an executor inside of an executor": (
        (EXECUTOR, "            class: qlib.backtest.executor.NestedExecutor\n"),
        "names qlib.backtest.executor.NestedExecutor",
    ),
    "a strategy that reads files": (
        (
            "            class: TopkDropoutStrategy",
            "            class: qlib.contrib.strategy.EnhancedIndexingStrategy",
        ),
        "names qlib.contrib.strategy.EnhancedIndexingStrategy",
    ),
    "an exchange of one's own": (
        ("            account: {{", "            exchange: {class: os.system}\n            account: {{"),
        'workflow.task.record[2].kwargs.config.backtest has "exchange"',
    ),
    "a position of one's own": (
        ("            account: {{", "            pos_type: InfPosition\n            account: {{"),
        'has "pos_type"',
    ),
    "an account that holds something": (
        ("account: {{ exchange.account }}", "account: {cash: 1, AAPL: 5}"),
        "account is {'cash': 1, 'AAPL': 5}; it must be a number",
    ),
    # expressions, which Qlib evaluates
    "code for a label": ((HANDLER, LABEL + "['(eval)($close)']\n"), 'uses "eval", which is no operator'),
    "code for a price": (
        (EXCHANGE, EXCHANGE + "                  subscribe_fields: ['(eval)($close)']\n"),
        'has "subscribe_fields"',
    ),
    "code for a limit": (
        ("limit_threshold: null", "limit_threshold: ['(eval)(1)', '(eval)(2)']"),
        "limit_threshold is ['(eval)(1)', '(eval)(2)']; it must be null, or a number",
    ),
    "code for a volume": (
        (EXCHANGE, EXCHANGE + "                  volume_threshold: [cum, '(eval)(1)']\n"),
        'has "volume_threshold"',
    ),
    "code for a deal": (
        ("deal_price: {{ exchange.deal_price }}", "deal_price: $(eval)(1)"),
        'it must be "close" or "open" or "vwap"',
    ),
    "a feature that knows the future": (
        (HANDLER_TO_FIT_TIMES, OWN_HANDLER + FUTURE),
        "it looks 1 days ahead, and a feature that knows the future",
    ),
    "two labels": (
        (HANDLER, LABEL + "['Ref($close, -1)', 'Ref($close, -2)', 'Ref($close, -3)']\n"),
        "it must be a list of 1 to 1",
    ),
    "a name with a path in it": (
        (HANDLER, LABEL + "[['Ref($close, -1)'], ['../x']]\n"),
        "label[1][0] is '../x'; it must be a word",
    ),
    # LightGBM, which opens files and sockets by parameter
    "a cluster of machines": ((KWARGS, KWARGS + "      machines: evil:1\n"), 'has "machines"'),
    "a list of machines": ((KWARGS, KWARGS + "      machine_list_filename: /x\n"), "machine_list_filename"),
    "a file of splits": ((KWARGS, KWARGS + "      forcedsplits_filename: /x\n"), "forcedsplits_filename"),
    "a file of bins": ((KWARGS, KWARGS + "      forcedbins_filename: /x\n"), "forcedbins_filename"),
    "a configuration file": ((KWARGS, KWARGS + "      config: /x\n"), 'kwargs has "config"'),
    "another device": ((KWARGS, KWARGS + "      device_type: cuda\n"), 'has "device_type"'),
    "threads under another name": ((KWARGS, KWARGS + "      n_jobs: 64\n"), 'has "n_jobs"'),
    "an objective of one's own": ((KWARGS, "      loss: os.system\n"), 'it must be "mse" or "binary"'),
    "a model that depends on the machine": (
        ("      deterministic: true", "      deterministic: false"),
        "deterministic is False; it must be true",
    ),
    "a model without a seed": (("      seed: {{ seed }}\n", ""), "workflow.task.model.kwargs lacks seed"),
    "no number": (("learning_rate: {{ model.learning_rate }}", "learning_rate: .nan"), "must be a number"),
    # the document itself
    "a mark": (("# A template.", "{{ '{{' }} HOME {{ '}}' }}"), 'still holds "{{"'),
    "a raw mark": (("# A template.", "{% raw %}{% if x %}{% endraw %}"), 'still holds "{%"'),
    "a comment mark": (("# A template.", "{{ '{#' }}"), 'still holds "{#"'),
    "an alias without an anchor": (
        ("  kernels: 1", "  kernels: 1\n  <<: *all"),
        ", and no anchor of this name before it",
    ),
    "an alias inside of its anchor": (
        ("  kernels: 1", "  kernels: &k [*k]"),
        "inside of what it stands for",
    ),
    "an argument that an alias brings": (
        ("qlib_init:\n", "qlib_init: &all\n  redis_host: evil\n"),
        'workflow.qlib_init has "redis_host"',
    ),
    "an argument that a merge key brings": (
        ("  kernels: 1", "  <<: {redis_host: evil}\n  kernels: 1"),
        'workflow.qlib_init has "redis_host"',
    ),
    "a tag": (("  kernels: 1", "  kernels: !!python/object/apply:os.system [id]"), "has the YAML tag"),
    "a harmless tag": (("  kernels: 1", "  kernels: !!int 1"), "has the YAML tag tag:yaml.org,2002:int"),
    "a key twice": (("  kernels: 1", "  kernels: 8\n  kernels: 1"), 'found duplicate key "kernels"'),
    "a second document": (("qlib_init:", "---\na: 1\n---\nqlib_init:"), "but found another document"),
    "a key that is no word": (("  kernels: 1", "  kernels: 1\n  [a]: 1"), "which a shadow run does not take"),
    "a depth without end": (
        ("  kernels: 1", "  kernels: " + "[" * 60 + "]" * 60),
        f"is nested deeper than {DEEPEST} levels",
    ),
    # a run is exported from what these leave
    "no backtest": (
        (BUILT_IN[BUILT_IN.index("    - class: PortAnaRecord") :], ""),
        "workflow.task.record is [",
    ),
    "an exchange beside what Qlib's own is given": (
        (EXCHANGE_KWARGS, EXCHANGE_KWARGS + "              freq: day\n"),
        'exchange_kwargs has "freq", which a shadow run does not take',
    ),
    "an exchange of one's own class": (
        ("module_path: qlib_shadow_runner.plugins.backtest.exchange", "module_path: my.broker"),
        "exchange_kwargs.exchange names my.broker.Exchange, which is not among the classes",
    ),
    "costs that are not stated": (
        ("                  open_cost: {{ exchange.open_cost }}\n", ""),
        "exchange_kwargs.exchange.kwargs lacks open_cost: a number from 0 to 0.5",
    ),
}


@pytest.mark.parametrize(("change", "sentence"), REFUSED.values(), ids=REFUSED)
def test_workflow_with_anything_not_allowed_is_refused(
    prepare_it: PrepareIt, change: tuple[str, str], sentence: str
):
    """Before anything is imported or run, as a user error."""
    with pytest.raises(StageError) as caught:
        prepare_it(template=own(change))
    assert sentence in caught.value.message
    assert caught.value.message.endswith("Nothing was run.")
    assert caught.value.reason is Reason.INVALID_WORKFLOW


def test_records_in_another_order_are_refused(prepare_it: PrepareIt):
    """The analysis reads the file of the prediction."""
    text = prepare_it().workflow.text
    first, second = text.index("    - class: SignalRecord"), text.index("    - class: SigAnaRecord")
    third = text.index("    - class: PortAnaRecord")
    with pytest.raises(StageError) as caught:
        vet(parse(text[:first] + text[second:third] + text[first:second] + text[third:]))
    assert "lists SigAnaRecord, SignalRecord, PortAnaRecord; a run needs SignalRecord" in caught.value.message


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("- 1", "is not a mapping"),
        ("", "is not a mapping"),
        ("a: [", "is not YAML at line 1"),
        ("a: 2020-02-30", "holds a value that is none"),
        ("a: '\x00'", "is not YAML"),
        ("#" + "x" * LARGEST, "is larger than"),
        ("qlib_init: {}", "workflow lacks task"),
    ],
    ids=["a list", "nothing", "half", "no day", "no text", "too much", "too little"],
)
def test_text_that_is_not_a_workflow_is_refused(text: str, sentence: str):
    """In a sentence, without a traceback."""
    with pytest.raises(StageError) as caught:
        vet(parse(text))
    assert sentence in caught.value.message


def test_ambiguous_yaml_is_read_as_qrun_reads_it(prepare_it: PrepareIt):
    """010 is eight to YAML 1.1 and ten to YAML 1.2, which is qrun's: what is vetted is what is run."""
    template = own(("num_leaves: {{ model.num_leaves }}", "num_leaves: 010"))
    assert prepare_it(template=template).workflow.model["kwargs"]["num_leaves"] == 10
    path = prepare_it(template=template).workflow.text
    assert YAML(typ="safe", pure=True).load(path)["task"]["model"]["kwargs"]["num_leaves"] == 10
