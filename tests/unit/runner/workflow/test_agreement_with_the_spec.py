"""A workflow has the run's data, universe, benchmark, days and seed, and uses what the spec sets."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from qlib.config import _default_region_config
from tests.unit.runner.workflow.workflow_builders import own, preparer

from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.discovery.lives import Lives
from qlib_shadow_runner.discovery.reach import Reach
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.workflow.description import REGION_RULES, describe_research

if TYPE_CHECKING:
    from tests.unit.runner.workflow.workflow_builders import MakeDataset, PrepareIt

LIVES = Lives(ended=0, instrument_years=0.0)
HANDLER = "          instruments: {{ instruments | tojson }}\n"
PROCESSOR = (
    "          infer_processors:\n            - class: RobustZScoreNorm\n"
    "              kwargs: {fit_start_time: 2020-03-25, fit_end_time: "
)

REFUSED = {
    "another dataset": (
        ("{{ provider_uri | tojson }}", "/data/other"),
        "qlib_init.provider_uri is '/data/other', and the run's is '/data/x'",
    ),
    "another region": (("{{ region | tojson }}", "cn"), "qlib_init.region is 'cn', and the run's is 'us'"),
    "another universe": (
        ("{{ instruments | tojson }}", "csi300"),
        "handler.instruments is 'csi300', and the run's is 'demo'; take it from the parameter instruments",
    ),
    "another benchmark": (
        ("{{ benchmark | tojson }}", "SPY"),
        "backtest.benchmark is 'SPY', and the run's is '^GSPC'; take it from the parameter benchmark",
    ),
    "other days of test": (
        ("test: [{{ segments.test[0] }}", "test: [{{ segments.train[0] }}"),
        "segments.test is",
    ),
    "another end of the backtest": (
        ("end_time: {{ backtest.end }}", "end_time: {{ segments.test[1] }}"),
        "take it from the parameter backtest.end",
    ),
    "a handler that begins late": (
        ("start_time: {{ segments.train[0] }}", "start_time: {{ segments.valid[0] }}"),
        "after the first day of train",
    ),
    "a handler that ends early": (
        ("end_time: {{ segments.test[1] }}", "end_time: {{ segments.test[0] }}"),
        "before the last day of test",
    ),
    "a scale fitted to the test": (
        ("fit_end_time: {{ segments.train[1] }}", "fit_end_time: {{ segments.test[1] }}"),
        "what is fitted to other days knows what it will be asked",
    ),
    "a processor fitted to the test": (
        (HANDLER, HANDLER + PROCESSOR + "2021-01-04}\n"),
        "handler.infer_processors[0].fit_end_time is 2021-01-04, outside of train",
    ),
    "other instruments quoted": (
        ("codes: {{ codes | tojson }}", "codes: [AAPL]"),
        "exchange_kwargs.codes is ['AAPL']",
    ),
    "more threads than CPUs": (
        ("num_threads: {{ num_threads }}", "num_threads: 64"),
        "model.num_threads is 64, and there are 2 CPUs here; write {{ num_threads }}",
    ),
    "another seed": (("seed: {{ seed }}", "seed: 42"), "model.seed is 42, and the run's is 7"),
}


@pytest.mark.parametrize(("change", "sentence"), REFUSED.values(), ids=REFUSED)
def test_template_with_other_values_than_the_spec_is_refused(
    prepare_it: PrepareIt, change: tuple[str, str], sentence: str
):
    """Otherwise the run's metadata would be wrong."""
    with pytest.raises(StageError) as caught:
        prepare_it(template=own(change))
    assert sentence in caught.value.message
    assert caught.value.reason is Reason.INVALID_WORKFLOW


@pytest.mark.parametrize(
    ("asked", "change", "where"),
    [
        (
            {"model": {"num_leaves": 12}},
            ("{{ model.num_leaves }}", "31"),
            'model.num_leaves has no effect: ConfigMap "mine", key "workflow.yaml" does not use {{ model.num',
        ),
        ({"strategy": {"nDrop": 1}}, ("{{ strategy.n_drop }}", "1"), "spec.workflow.strategy.nDrop has no"),
        (
            {"exchange": {"impactCost": 0}},
            ("{{ exchange.impact_cost }}", "0.0"),
            "exchange.impactCost has no",
        ),
        (
            {"exchange": {"dealPrice": "open"}},
            ("{{ exchange.deal_price }}", "close"),
            "exchange.dealPrice has",
        ),
    ],
    ids=["model", "strategy", "costs", "price"],
)
def test_unused_value_of_the_manifest_is_refused(
    prepare_it: PrepareIt, asked: dict[str, object], change: tuple[str, str], where: str
):
    """The sentence names both remedies."""
    spec = {"workflow": {"configMapRef": {"name": "mine"}, **asked}}
    with pytest.raises(StageError) as caught:
        prepare_it(spec, own(change))
    assert where in caught.value.message
    assert "use it there, or remove it from the manifest" in caught.value.message


def test_template_decides_what_the_manifest_does_not_set(prepare_it: PrepareIt):
    """The metadata has the workflow's values, not the manifest's defaults."""
    template = own(
        ("open_cost: {{ exchange.open_cost }}", "open_cost: 0.002"),
        ("topk: {{ strategy.topk }}", "topk: 2"),
        ("account: {{ exchange.account }}", "account: 50000"),
        ("                  trade_unit: 1\n", ""),
        ("impact_cost: {{ exchange.impact_cost }}", "impact_cost: 0.1"),
    )
    spec = parse_spec({"workflow": {"configMapRef": {"name": "mine"}}})
    found = describe_research(spec.workflow, prepare_it(spec, template), LIVES, synthetic=False)
    assert found["exchange"] == {
        "open_cost": 0.002,
        "close_cost": 0.0015,
        "min_cost": 5.0,
        "deal_price": "close",
        "impact_cost": 0.1,
        "account": 50000,
        "limit_threshold": None,
        "trade_unit": 1,
    }
    assert found["strategy"] == {"topk": 2, "n_drop": 1}
    assert found["template"] == 'ConfigMap "mine", key "workflow.yaml"'
    assert any("slippage is a cost" in caveat for caveat in found["caveats"])  # type: ignore[attr-defined]


def test_metadata_has_qlibs_region_rules_where_the_workflow_has_none(prepare_it: PrepareIt):
    """Chinese shares have daily price limits and board lots."""
    for region, rules in REGION_RULES.items():
        told = {name: _default_region_config[region][name] for name in ("limit_threshold", "trade_unit")}
        assert rules == told
    spec = parse_spec({"dataset": {"region": "cn"}})
    found = describe_research(spec.workflow, prepare_it(spec), LIVES, synthetic=False)["exchange"]
    assert isinstance(found, dict)
    assert (found["limit_threshold"], found["trade_unit"]) == (0.095, 100)


@pytest.mark.parametrize(
    ("label", "ahead"), [("Ref($close, -6)/Ref($close, -1) - 1", 6), ("Ref($close, -1)/$close - 1", 1)]
)
def test_gap_between_segments_follows_the_label(make_dataset: MakeDataset, label: str, ahead: int):
    """The template is rendered again with segments that fit its label."""
    dataset = make_dataset(400)
    research = preparer(dataset)(template=own((HANDLER, f"{HANDLER}          label: ['{label}']\n")))
    days, segments = list(dataset.calendar), research.plan.days.segments
    assert research.workflow.reach == Reach(60, ahead)
    assert days.index(segments.valid[0]) - days.index(segments.train[1]) == ahead + 1
    assert days.index(segments.test[0]) - days.index(segments.valid[1]) == ahead + 1
    assert f"test: [{segments.test[0]}, {segments.test[1]}]" in research.workflow.text


@pytest.mark.parametrize(
    ("spec", "label", "sentence"),
    [
        (
            {},
            "Ref($clse, -1)/$close",
            "$clse, and no instrument of us has a file clse.day.bin in features/; did you",
        ),
        (
            {"workflow": {"exchange": {"dealPrice": "vwap"}}},
            "Ref($close, -1)/$close",
            "asks for $vwap, and no",
        ),
    ],
    ids=["in an expression", "as a price"],
)
def test_field_that_no_instrument_has_is_refused(
    prepare_it: PrepareIt, spec: dict[str, object], label: str, sentence: str
):
    """Qlib would take it for a column without values."""
    with pytest.raises(StageError) as caught:
        prepare_it(spec, own((HANDLER, f"{HANDLER}          label: ['{label}']\n")))
    assert sentence in caught.value.message
    assert caught.value.reason is Reason.INVALID_WORKFLOW


def test_field_of_one_instrument_is_enough(prepare_it: PrepareIt):
    """In upper or lower case: Qlib looks for it in lower case."""
    assert prepare_it(template=own((HANDLER, f"{HANDLER}          label: ['Ref($Open, -1)/$close']\n")))


def test_label_that_depends_on_the_segments_is_refused(prepare_it: PrepareIt):
    """Three days ahead if the gap is two, two if it is three: rendering would never be stable."""
    usual = prepare_it().plan.days.segments.valid[0]
    moving = f"['Ref($close, -{{{{ 3 if segments.valid[0].day == {usual.day} else 2 }}}})/$close - 1']"
    with pytest.raises(StageError, match="another label or other features whenever the segments are others"):
        prepare_it(template=own((HANDLER, f"{HANDLER}          label: {moving}\n")))


def test_config_hash_does_not_depend_on_the_templates_source(prepare_it: PrepareIt):
    """A copy of the built-in template, or one with the same values, has the same hash."""
    built_in = prepare_it()
    copy = prepare_it({"workflow": {"configMapRef": {"name": "mine"}}}, own())
    reworded = prepare_it(template=own(("num_leaves: {{ model.num_leaves }}", "num_leaves: 64  # ours")))
    assert copy.workflow.text == built_in.workflow.text
    assert copy.config_hash == built_in.config_hash == reworded.config_hash
    assert reworded.workflow.sha256 != built_in.workflow.sha256
