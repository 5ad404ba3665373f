"""Qlib evaluates expressions as Python: what is accepted, how far it reaches, and what is refused."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as some
from qlib.contrib.data.loader import Alpha158DL, Alpha360DL
from qlib.data import ops

from qlib_shadow_runner.discovery.reach import ALPHA158, Reach
from qlib_shadow_runner.engine.expressions import OPERATORS, ExpressionError
from qlib_shadow_runner.workflow.parsed import FEATURES_LOOK_BACK, LABEL
from qlib_shadow_runner.workflow.shapes import reach_of


@pytest.mark.parametrize(
    ("expression", "reach"),
    [
        ("$close", Reach()),
        ("Ref($close, -2)/Ref($close, -1) - 1", Reach(0, 2)),
        ("Ref($close,-21)/$close-1", Reach(0, 21)),
        ("Mean(Ref($close, -5), 3)", Reach(2, 5)),
        ("Mean(Ref($close, 5), 20)", Reach(24, 0)),
        ("Delta($close, -3)", Reach(0, 3)),
        ("If($close > $open, Mean($volume, 10), -1 * Std($volume, 30))", Reach(29, 0)),
        ("Corr($close/Ref($close, 1), Log($volume + 1), 60)", Reach(60, 0)),
        ("Quantile($close, 20, 0.8) + ($high >= $low)", Reach(19, 0)),
        ("Mean($close, 5)**2 + +1*(-2)**$open", Reach(4, 0)),
    ],
)
def test_reach_of_an_expression_follows_its_windows(expression: str, reach: Reach):
    """Days ahead decide the gap between segments, days back decide where train begins."""
    assert reach_of(expression) == reach


@pytest.mark.parametrize(("loader", "handler"), [(Alpha158DL, "Alpha158"), (Alpha360DL, "Alpha360")])
def test_qlibs_own_features_are_accepted_and_reach_as_stated(loader: type, handler: str):
    """They reach back as far as the table says."""
    expressions, _ = loader.get_feature_config()  # type: ignore[attr-defined]
    assert Reach.widest(map(reach_of, expressions)) == Reach(FEATURES_LOOK_BACK[handler], 0)


def test_usual_reach_is_alpha158s():
    """Features and label."""
    assert Reach(FEATURES_LOOK_BACK["Alpha158"], reach_of(LABEL[0]).ahead) == ALPHA158


def test_operators_and_their_arguments_are_qlibs():
    """By the constructors' own arguments."""
    for name, arguments in OPERATORS.items():
        constructor = getattr(ops, name).__init__
        assert constructor.__code__.co_argcount - 1 == len(arguments), name


REFUSED = {
    "a function of Python": ("(eval)($close)", 'uses "eval", which is no operator'),
    "an import": ("__import__($close)", 'uses "__import__", which is no operator'),
    "a text": ("ChangeInstrument('SPY', $close)", "may hold letters, digits"),
    "a lambda": ("(lambda: $close)()", "may hold letters, digits"),
    "an attribute": ("$close.load", 'holds "$close.load"'),
    "an index": ("[$close][0]", "may hold letters, digits"),
    "a power, which may take for ever": ("9**9**9**9*$close", 'holds "9 ** 9'),
    "such a power in disguise": ("((1 > 2) + 9)**(9*9)*$close", 'holds "((1 > 2) + 9) ** (9 * 9)"'),
    "a division by nothing": ("$close + 1/0", 'holds "1 / 0"'),
    "a sign that Qlib does not know": (
        "1 + -Ref($close, 1)",
        'sign before "Ref($close, 1)"; write -1 * instead',
    ),
    "a shift": ("$close << 2", 'holds "$close << 2"'),
    "a call of a field": ("$close($open)", 'holds "$close($open)"'),
    "a call of a number": ("2($close)", 'holds "2($close)"'),
    "a name with an argument of its own": ("Mean($close, N=5)", 'uses "N", which is no operator'),
    "a star": ("Mean(*$close)", "gives Mean 1 arguments; it takes 2"),
    "a condition of Python": ("$close if 1 else $open", 'uses "if", which is no operator'),
    "several": ("$close, $open", 'holds "($close, $open)"'),
    "a complex number": ("1j*$close", 'holds "1j"'),
    "a misspelt operator": ("Meam($close, 5)", 'did you mean "Mean"?'),
    "too few arguments": ("Mean($close)", "gives Mean 1 arguments; it takes 2"),
    "a window of nothing": ("Mean($close, 0)", "gives Mean 0 days; write a whole number from 1 to 2500"),
    "a window of the future": ("Mean($close, -5)", "gives Mean -5 days"),
    "the first day there is": ("Ref($close, 0)", "gives Ref 0 days"),
    "a window that is computed": ("Mean($close, 2*3)", "gives Mean something else than a plain number"),
    "a share that is none": ("Quantile($close, 5, 2)", "gives Quantile a share outside of 0 to 1"),
    "no field": ("1 + 1", "names no field such as $close"),
    "no field, but an operator": ("Mean(5, 3)", "names no field such as $close"),
    "nothing": ("", "may hold letters, digits"),
    "an open bracket": ("Mean($close, 5", "cannot be read"),
    "brackets without end": ("(" * 900 + "$close" + ")" * 900, "cannot be read"),
    "minuses without end": ("-" * 1900 + "$close", "cannot be read"),
    "a novel": ("$close+" * 300 + "$close", "2,000 characters"),
    "letters that look like letters": ("\uff2dean($close, 5)", "may hold letters, digits"),
    "a field of Qlib's other store": ("$$roewa_q", "cannot be read"),
}


@pytest.mark.parametrize(("expression", "sentence"), REFUSED.values(), ids=REFUSED)
def test_anything_else_is_refused(expression: str, sentence: str):
    """Qlib would evaluate it, or fail after loading everything."""
    with pytest.raises(ExpressionError) as caught:
        reach_of(expression)
    assert sentence in str(caught.value)


@given(some.text(alphabet="aeMnRf$clo(),.+-*/<>=!&| 019_[]'\"{}:@", max_size=60))
def test_random_text_raises_nothing_but_an_expression_error(text: str):
    """Any text is accepted or refused, without another exception."""
    try:
        reach_of(text)
    except ExpressionError:
        return
    assert "$" in text
