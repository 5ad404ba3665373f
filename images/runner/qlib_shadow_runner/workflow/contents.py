"""Where the parts of a vetted workflow are. Vetting has seen to it that they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Part = dict[str, Any]


def model_of(document: Mapping[str, Any]) -> Part:
    """Give the model with its class."""
    return _part(document, "task", "model")


def handler_of(document: Mapping[str, Any]) -> Part:
    """Give what makes features and labels, with its class."""
    return _part(document, "task", "dataset", "kwargs", "handler")


def segments_of(document: Mapping[str, Any]) -> Part:
    """Give the spans of days."""
    return _part(document, "task", "dataset", "kwargs", "segments")


def portfolio_of(document: Mapping[str, Any]) -> Part:
    """Give the strategy and the backtest."""
    record = document["task"]["record"][-1]
    return _part(record, "kwargs", "config")


def exchange_arguments_of(document: Mapping[str, Any]) -> Part:
    """Give what the simulated exchange is given, be it Qlib's own or one by class path."""
    given = _part(portfolio_of(document), "backtest", "exchange_kwargs")
    return _part(given, "exchange", "kwargs") if "exchange" in given else given


def _part(node: Any, *keys: str) -> Part:
    for key in keys:
        node = node[key]
    assert isinstance(node, dict), "it was vetted"
    return node
