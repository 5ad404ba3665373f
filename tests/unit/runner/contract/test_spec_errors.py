"""Errors in a spec and their sentences."""

from __future__ import annotations

import pytest

from qlib_shadow_runner.contract import ExitCode, Reason
from qlib_shadow_runner.contract.spec.workflow import SignalsFormat
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.spec import parse_spec


def test_empty_spec_has_all_defaults():
    """All fields may be left out."""
    spec = parse_spec({})
    assert spec.dataset.path == "/data/qlib/qlib_data/us_data_1d"
    assert spec.dataset.source.identity == "existing"
    assert (spec.workflow.market, spec.workflow.benchmark, spec.workflow.segments) == ("auto", "auto", None)
    assert spec.workflow.signals_format is SignalsFormat.PARQUET


def test_operator_fields_are_accepted_and_ignored():
    """One file serves the cluster and the laptop."""
    operators = {
        "storage": {"claimName": "x"},
        "stages": {"qrun": {}},
        "image": "i",
        "imagePullPolicy": "Never",
        "imagePullSecrets": [],
        "queueName": "q",
        "suspend": True,
        "ttlSecondsAfterFinished": 5,
    }
    found, nothing = parse_spec(operators), parse_spec({})
    assert (found.dataset, found.workflow) == (nothing.dataset, nothing.workflow)


def test_years_are_converted_to_days():
    """Six years are 1,512 trading days."""
    assert (
        parse_spec({"dataset": {"source": {"synthetic": {"years": 6}}}}).dataset.source.identity
        == parse_spec({"dataset": {"source": {"synthetic": {"days": 1512}}}}).dataset.source.identity
    )


FAULTS = {
    "an unknown section": ({"workfow": {}}, 'spec has no field "workfow"; did you mean "workflow"?'),
    "a misspelt field": (
        {"workflow": {"benchmrk": "SPY"}},
        'spec.workflow has no field "benchmrk"; did you mean "benchmark"?',
    ),
    "a misspelt model parameter": (
        {"workflow": {"model": {"learningrate": 0.1}}},
        'spec.workflow.model has no field "learningrate"; did you mean "learning_rate"?',
    ),
    "a path outside the volume": ({"dataset": {"path": "/etc/passwd"}}, "must lie under /data"),
    "a path that climbs": ({"dataset": {"path": "/data/../etc"}}, "must lie under /data"),
    "two sources": (
        {"dataset": {"source": {"synthetic": {}, "existing": {}}}},
        "spec.dataset.source must name exactly one of synthetic, prices, archive, qlib and existing",
    ),
    "no source": ({"dataset": {"source": {}}}, "spec.dataset.source must name exactly one of synthetic"),
    "a source of the future": (
        {"dataset": {"source": {"kdb": {}}}},
        'spec.dataset.source has no field "kdb"; known here: archive, existing, prices, qlib, synthetic',
    ),
    "a misspelt source": (
        {"dataset": {"source": {"synthetc": {}}}},
        'spec.dataset.source has no field "synthetc"; did you mean "synthetic"?',
    ),
    "days and years": (
        {"dataset": {"source": {"synthetic": {"days": 300, "years": 2}}}},
        "takes days or years, not both; remove one",
    ),
    "too few symbols": (
        {"dataset": {"source": {"synthetic": {"symbols": 2}}}},
        "spec.dataset.source.synthetic.symbols must be a whole number from 10 to 999, not 2",
    ),
    "a wrong refresh": ({"dataset": {"refresh": "always"}}, "not 'always'; did you mean \"Always\"?"),
    **{
        f"the engine {wrong!r}": (
            {"workflow": {"engine": wrong}},
            f"spec.workflow.engine must be one of fast, qlib, not {wrong!r}",
        )
        for wrong in ("slow", "", " fast", "fast,qlib", True, 1, ["fast"], {"fast": True})
    },
    "an engine in capitals": ({"workflow": {"engine": "FAST"}}, "not 'FAST'; did you mean \"fast\"?"),
    "an engine elsewhere": ({"engine": "fast"}, 'spec has no field "engine"'),
    "minute bars": ({"dataset": {"interval": "1min"}}, "spec.dataset.interval must be one of 1d, not '1min'"),
    "a date that is none": (
        {"workflow": {"segments": {"train": ["x", "y"], "valid": ["x", "y"], "test": ["x", "y"]}}},
        'spec.workflow.segments.train[0] "x" is not a date; write it as 2022-12-30',
    ),
    "a segment too few": (
        {"workflow": {"segments": {"train": ["2020-01-01", "2020-02-01"]}}},
        "spec.workflow.segments lacks valid, test",
    ),
    "a number that is a word": (
        {"workflow": {"exchange": {"openCost": "0.1"}}},
        "spec.workflow.exchange.openCost must be a number from 0 to 0.5, not '0.1'",
    ),
    "a truth that is a number": ({"workflow": {"seed": True}}, "spec.workflow.seed must be a whole number"),
    "more dropped than held": (
        {"workflow": {"strategy": {"topk": 5, "nDrop": 6}}},
        "spec.workflow.strategy must have an nDrop of at most topk (topk is 5, nDrop is 6); lower it",
    ),
    "a reserved run id": ({"runId": "catalog"}, 'runId "catalog" is reserved on the volume'),
    "the folder of all books": ({"runId": "ledgers"}, 'runId "ledgers" is reserved on the volume'),
    "a template mark": ({"workflow": {"market": "{{ x }}"}}, "must be a name of letters, digits"),
    "a list for a mapping": ({"workflow": []}, "spec.workflow must be a mapping of fields, not []"),
}


FINGERPRINT = (
    "must be the fingerprint of a version, 12 to 64 of the digits 0-9 and a-f in quotes, "
    'such as "808737d06485"'
)
FAULTS |= {
    f"a version that is {version!r}": (
        {"dataset": {"version": version}},
        f'version "{version}" {FINGERPRINT}',
    )
    for version in ("latest", "808737D06485", "808737d0648")
}
FAULTS |= {
    f"a version that is {version!r}": (
        {"dataset": {"version": version}},
        f"version {FINGERPRINT}, not {version!r}",
    )
    for version in ("", 808737006485)
}
FAULTS["a version that is too long"] = (
    {"dataset": {"version": "0" * 65}},
    f'spec.dataset.version "{"0" * 65}" has 65 characters; at most 64 are allowed',
)


@pytest.mark.parametrize(("spec", "sentence"), FAULTS.values(), ids=FAULTS)
def test_error_gives_place_cause_and_remedy(spec: object, sentence: str):
    """Place, cause and what to write instead; never retried."""
    with pytest.raises(StageError) as caught:
        parse_spec(spec)
    assert sentence in caught.value.message
    assert caught.value.reason is Reason.INVALID_SPEC
    assert caught.value.exit_code is ExitCode.BAD_CONFIG


def test_reversed_segment_has_its_own_reason():
    """The operator shows it as SegmentsInvalid."""
    backwards = {"train": ["2021-01-01", "2020-01-01"], "valid": ["x", "y"], "test": ["x", "y"]}
    with pytest.raises(StageError, match=r"not after the last, .* not \[2021-01-01, 2020-01-01\]") as caught:
        parse_spec({"workflow": {"segments": backwards}})
    assert caught.value.reason is Reason.SEGMENTS_INVALID


def test_error_between_fields_shows_only_plain_values():
    """The periods of a spec would fill the line."""
    overlapping = {key: ["2020-01-01", "2020-02-01"] for key in ("train", "valid", "test")}
    with pytest.raises(StageError) as caught:
        parse_spec({"workflow": {"segments": overlapping}})
    assert caught.value.message == (
        "spec.workflow.segments must follow one another: train ends before valid begins, and valid ends "
        "before test begins, and of two neighbouring ends at most one is open; correct the dates, or leave "
        "segments out"
    )
    assert caught.value.reason is Reason.SEGMENTS_INVALID
