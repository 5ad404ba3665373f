"""Numbers and letters of strangers: in results, in messages of a cluster, in settings and in schedules."""

from __future__ import annotations

import json
import logging
from itertools import product
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import yaml
from tests.unit.operator.builders import DATASET, METRICS, NOW, Scene, a_run, result
from tests.unit.runner.hostile.hostile_values import (
    DIGITS,
    JSON_NUMBERS,
    LETTERS,
    LONGEST,
    NUMBERS,
    is_seen,
    some,
)

from qlib_shadow_operator.kube.cluster import event
from qlib_shadow_operator.kube.status_document import render_status
from qlib_shadow_operator.kube.times import read_time, write_time
from qlib_shadow_operator.loop.cluster_cache import series_of
from qlib_shadow_operator.runs.queries import FindStartupWarning, WarningEvent
from qlib_shadow_operator.schedule.parse_schedule import ScheduleError, parse_schedule
from qlib_shadow_operator.settings import PREFIX, SettingsError, default_settings, read_settings
from qlib_shadow_operator.telemetry.logs import JsonLines, TextLines
from qlib_shadow_runner.contract import DatasetResult, Metrics, Stage

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

CRD: Final = yaml.safe_load(
    (Path(__file__).parents[3] / "manifests/crd/qlibshadowruns.yaml").read_text(encoding="utf-8")
)
STATUS: Final = CRD["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["status"]
begun = a_run().seen().job(Stage.DOWNLOAD, active=1)
TEXTS: Final = [name for name, kind in DatasetResult.__annotations__.items() if "str" in str(kind)]
PLACES: Final[dict[str, Callable[[str], Scene]]] = {
    "a result's message": lambda text: begun.failed(
        Stage.DOWNLOAD, 10, result(Stage.DOWNLOAD, "InvalidSpec", text)
    ),
    "a result's reason": lambda text: begun.failed(Stage.DOWNLOAD, 10, result(Stage.DOWNLOAD, text, "x")),
    "the end of a log": lambda text: begun.failed(Stage.DOWNLOAD, 137, text, kill="OOMKilled"),
    "a container's last words": lambda text: begun.failed(Stage.DOWNLOAD, 1, text),
    "a start error": lambda text: begun.failed(Stage.DOWNLOAD, 128, text, kill="StartError"),
    "an image": lambda text: begun.pod(
        Stage.DOWNLOAD, waiting_reason="ErrImagePull", waiting_message=text, image=text
    ),
    "the kubelet": lambda text: begun.pod(
        Stage.DOWNLOAD, waiting_reason="CreateContainerError", waiting_message=text
    ),
    "the scheduler": lambda text: begun.pod(Stage.DOWNLOAD, unschedulable=f"x {text}"),
    "an eviction": lambda text: begun.pod(
        Stage.DOWNLOAD, phase="Failed", reason="Evicted", message=text
    ).job_failed(Stage.DOWNLOAD, text),
    "a webhook": lambda text: a_run().seen().rejected(Stage.DOWNLOAD, text, permanent=True),
    "an Event": lambda text: begun.pod(Stage.DOWNLOAD, node="n").answered(
        FindStartupWarning("pod-1"), WarningEvent("FailedMount", text, NOW)
    ),
    "a success": lambda text: begun.succeeded(
        Stage.DOWNLOAD,
        result(
            Stage.DOWNLOAD,
            "Succeeded",
            text,
            dataset={**dict.fromkeys(TEXTS, text), **DATASET, "resolvedPath": f"/data/{text}"},
            gitCommit=text,
            configHash=text,
        ),
    ).pod_is(Stage.DOWNLOAD, image_id=text),
}
"""Where texts of strangers come into a run's status."""
FIGURES: Final = [
    *(("dataset", name) for name in DatasetResult.__annotations__),
    *(("metrics", name) for name in Metrics.__annotations__),
]


def faults_of(value: Any, schema: Any, path: str = "status") -> Iterator[str]:
    """Yield what the API server would refuse, and what a terminal would obey or hide."""
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from faults_of(inner, schema.get("properties", {}).get(key, {}), f"{path}.{key}")
    if isinstance(value, list):
        for inner in value:
            yield from faults_of(inner, schema.get("items", {}), f"{path}[]")
    if isinstance(value, str):
        if not is_seen(value) or "\n" in value:
            yield f"{path} holds {value[:80]!r}"
        if len(value) > schema.get("maxLength", len(value)):
            yield f"{path} has {len(value)} characters"
    if isinstance(value, int) and abs(value) >= 2**63:
        yield f"{path} is {value}"


def test_any_letters_of_strangers_are_escapes_in_status_and_events():
    """Written by an image, the kubelet, the scheduler, a webhook."""
    faults = []
    for (place, scene), text in product(PLACES.items(), (*LETTERS, f"{'x' * 500}\x1b{'y' * 5_000}")):
        run = scene(text)
        decision = run.decide(minutes=1)
        notes = [event(run.run, note, NOW)["note"] for note in decision.notes]
        found = [*faults_of(render_status(decision.status), STATUS), *faults_of(notes, {})]
        found += [f"a note of {len(note)} characters" for note in notes if len(note) > 1024]
        faults += [f"{place} with {text[:20]!r}: {one}" for one in found]
    assert not faults, "\n".join(faults)


def test_any_number_in_a_result_is_shown_or_the_result_is_malformed():
    """And never a status that the API server would refuse again and again."""
    faults: list[str] = []
    for (part, name), value in some(list(product(FIGURES, JSON_NUMBERS)), 120):
        whole: dict[str, Any] = {"dataset": dict(DATASET), "metrics": dict(METRICS)}
        whole[part][name] = "PLACE"
        text = result(Stage.DOWNLOAD, **whole).replace('"PLACE"', value)
        decision = begun.succeeded(Stage.DOWNLOAD, text).decide(minutes=1)
        found = faults_of(render_status(decision.status), STATUS)
        faults += [f"{part}.{name} is {value[:30]}: {one}" for one in found]
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    ("figures", "fault"),
    [
        ({"days": int("9" * 4_000)}, "days is 9999999999999 … 9999"),
        ({"days": 2**63}, "days is 9223372036854775808"),
        ({"days": 1e300}, "days is 1e\\+300"),
    ],
    ids=["of four thousand digits", "of 64 bits", "a float"],
)
def test_number_that_the_api_server_does_not_take_is_told(figures: dict[str, float], fault: str):
    """As a malformed result, with the number cut."""
    text = json.dumps({"stage": "download", "reason": "Succeeded", "dataset": {**DATASET, **figures}})
    message = begun.succeeded(Stage.DOWNLOAD, text).decide(minutes=1).status.stages[0].message
    assert message is not None
    assert f"its result cannot be read: {fault}".replace("\\", "") in message


def test_any_value_of_a_setting_is_taken_or_told_in_one_sentence():
    """The process stops with it, and the pod's log shows it."""
    faults: list[str] = []
    values = (
        *NUMBERS,
        *LETTERS,
        "{" * 5_000,
        '{"limits": {"cpu": 1e999}}',
        f'{{"limits": {{"cpu": {DIGITS}}}}}',
    )
    names = [name for name in default_settings() if name.startswith(PREFIX)]
    for name, value in some(list(product(names, values)), 300):
        try:
            read_settings({name: value})
        except SettingsError as error:
            if len(str(error)) > LONGEST or not str(error).startswith(f"{name} is "):
                faults.append(f"{name} is {value[:30]!r}: {str(error)[:200]}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "name", ["FEATURES_CACHE_BYTES", "WORKERS", "WORK_SIZE", "QRUN_RETRIES", "RUN_AS_USER"]
)
def test_number_of_five_thousand_digits_is_no_setting(name: str):
    """It would end in every pod, or in the API server's refusal of every Job."""
    with pytest.raises(SettingsError, match=f'^{PREFIX}{name} is "9+...", but it must be a'):
        read_settings({PREFIX + name: DIGITS})


def test_any_value_in_a_schedule_is_taken_or_told_in_one_sentence():
    """Each of its fields, and the spec, which the API server checks."""
    places = (
        "name: {}",
        "name: nightly\nkeepFinished: {}",
        "name: nightly\nconcurrencyPolicy: {}",
        "name: nightly\n{}: 1",
        "name: nightly\nrun: {{spec: {{seed: {}}}}}",
        "name: nightly\nrun: {{metadata: {{labels: {{a: {}}}}}, spec: {{}}}}",
        "name: nightly\nrun: {{apiVersion: {}, spec: {{}}}}",
    )
    faults: list[str] = []
    values = (*NUMBERS, *map(json.dumps, LETTERS), "&a [*a]")
    for place, value in some(list(product(places, values)), 120):
        try:
            parse_schedule(place.replace("{{", "{").replace("}}", "}").replace("{}", value, 1))
        except ScheduleError as error:
            if len(str(error)) > LONGEST:
                faults.append(f"{place} with {value[:30]!r}: {str(error)[:200]}")
    assert not faults, "\n".join(faults)


@pytest.mark.parametrize(
    "text", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", DIGITS, "99999-01-01"]
)
def test_time_that_is_none_in_utc_is_none(text: str):
    """Arithmetic with it would fail in every reconcile pass."""
    assert read_time(text) is None
    assert write_time(read_time(text)) is None


@pytest.mark.parametrize("formatter", [JsonLines(), TextLines()], ids=lambda one: type(one).__name__)
def test_log_line_is_one_line_whatever_it_quotes(formatter: logging.Formatter):
    """A traceback in the text form has lines of its own, which are indented."""
    for text in LETTERS:
        record = logging.LogRecord("x", logging.ERROR, "", 0, "refused: %s", (text,), None)
        record.run = f"research/{text}"
        line = formatter.format(record)
        assert is_seen(line)
        assert "\n" not in line
        record.exc_info = (ValueError, ValueError(text), None)
        first, *more = formatter.format(record).split("\n")
        assert is_seen(first)
        assert all(is_seen(one) and one.startswith("    ") for one in more)


def test_label_of_a_metric_holds_no_hidden_letters():
    """A template's name may be any text of 63 characters."""
    assert is_seen(series_of({"spec": {"workflow": {"template": "".join(LETTERS)}}}))
