"""Any number, date or letter in what a run or a dataset left is shown, left out, or told in a sentence."""

from __future__ import annotations

import asyncio
import json
import random
from typing import TYPE_CHECKING, Any, Final

import pytest
from tests.unit.runner.catalog.volumes import DATASET, SmallVolume
from tests.unit.runner.hostile.hostile_values import (
    DATES,
    JSON_NUMBERS,
    LETTERS,
    LONGEST,
    NUMBERS,
    ROUNDS,
    is_seen,
    some,
)
from tests.unit.runner.report.recorded_runs import Shape, make_run

from qlib_shadow_runner.cli import main
from qlib_shadow_runner.contract import Reason
from qlib_shadow_runner.dataset.ensure import ensure
from qlib_shadow_runner.dataset.manifest import manifest_path
from qlib_shadow_runner.errors import StageError
from qlib_shadow_runner.runs.mlruns import recorded_runs
from qlib_shadow_runner.spec import parse_spec
from qlib_shadow_runner.ui.app import application

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from starlette.types import ASGIApp, Message

    from qlib_shadow_runner.dataset.qlib_layout import Dataset

VALUES: Final = (*JSON_NUMBERS, *map(json.dumps, (*DATES, *LETTERS)))
RUN: Final = "made"
DOCUMENTS: Final = ("RUN_METADATA.json", "metrics.json", "results/qrun.json", "results/download.json")
QUICK: Final = (
    f"show {RUN}",
    f"show {RUN} --json",
    "runs",
    "runs --sort rankIc",
    "runs --json",
    "followup",
    "query --csv",
    "query --json",
    "prune --keep 0 --dry-run",
    "models",
    "models --json",
    "snapshot",
    "snapshot --json",
    "trend",
    "trend --json",
)
SLOW: Final = (
    f"verify {RUN}",
    f"report {RUN}",
    f"report {RUN} --output OUT",
    f"compare {RUN} nightly-1 --output OUT",
)
MODEL: Final = {
    "series": "us",
    "recipe_sha256": "5" * 64,
    "model_trained_by": RUN,
    "model_kept": False,
    "model_trained_through": "2025-06-30",
    "model_data_end": "2026-03-25",
    "model_age_days": 0,
    "model_not_kept": "it was made with other code",
    "label_horizon_days": 1,
    "drift": {"state": "drifting", "features": 1.5, "scores": 0.5, "turnover": 0.1},
    "decay": {"state": "decayed", "promised_ic": 0.03, "gave_up": "nightly-1"},
}
PAGES: Final = (
    "/",
    "/series?of=local%2Fseries%2Fus",
    f"/runs/{RUN}",
    f"/runs/{RUN}/logs/stdout",
    "/followup",
    "/runs?q=made&page=2",
)
UNEXPECTED: Final = "InternalError"


def leaves(document: object, inside: tuple[str | int, ...] = ()) -> Iterator[tuple[str | int, ...]]:
    """Yield the path of each part of a document."""
    if inside:
        yield inside
    if isinstance(document, list):
        document = dict(enumerate(document))
    if isinstance(document, dict):
        for key, value in document.items():
            yield from leaves(value, (*inside, key))


def is_container(value: object) -> bool:
    """Return whether a value has parts."""
    return isinstance(value, dict | list)


def written(document: Any, changes: dict[tuple[str | int, ...], str]) -> str:
    """Return a document as JSON with some of its parts replaced by texts that need not be JSON."""
    copy = json.loads(json.dumps(document))
    for number, path in enumerate(changes):
        part: Any = copy
        for key in path[:-1]:
            part = part[key] if is_container(part) else None
        if is_container(part):
            part[path[-1]] = f"PLACE-{number}-"
    text = json.dumps(copy, ensure_ascii=False)
    for number, value in enumerate(changes.values()):
        text = text.replace(f'"PLACE-{number}-"', value)
    return text


def got(app: ASGIApp, address: str) -> tuple[int, str]:
    """Return the status and the body of a page."""
    path, _, query = address.partition("?")
    sent: list[Message] = []

    async def receive() -> Message:
        return {"type": "http.request", "body": b"", "more_body": False}

    async def send(message: Message) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "GET", "path": path, "raw_path": path.encode(errors="replace"),
             "query_string": query.encode(errors="replace"), "headers": [], "root_path": "", "scheme": "http",
             "server": ("127.0.0.1", 80)}  # fmt: skip
    asyncio.run(app(scope, receive, send))  # type: ignore[arg-type]
    body = b"".join(message.get("body", b"") for message in sent)
    return sent[0]["status"], body.decode()


@pytest.fixture(scope="module")
def volume(tmp_path_factory: pytest.TempPathFactory) -> SmallVolume:
    """Return a volume with a run that has everything, and another one beside it."""
    small = SmallVolume(tmp_path_factory.mktemp("folders") / "data")
    small.add_dataset(64)
    small.add_run("nightly-1", 60)
    folder = small.add_run(RUN, 60, namespace="local")
    made = make_run(small.data.with_name("other"), RUN, Shape(days=60, symbols=6))
    (made / "mlruns").rename(folder / "mlruns")
    (made / "workflow.yaml").rename(folder / "workflow.yaml")
    both = [json.loads((one / "RUN_METADATA.json").read_text()) for one in (made, folder)]
    (folder / "RUN_METADATA.json").write_text(
        json.dumps({**both[0], **both[1], **MODEL, "caveats": ["c"], "extra": {}})
    )
    (folder / "results/download.json").write_text(
        json.dumps({"dataset": {"resolvedPath": DATASET}, "exitCode": 0})
    )
    (folder / "stdout.log").write_text("".join(LETTERS))
    return small


def folder_of(volume: SmallVolume) -> Path:
    """Return the run folder that is changed."""
    return volume.data / "artifacts/trading-ops/qlib-shadow" / RUN


def hostile_folders(volume: SmallVolume, rounds: int) -> Iterator[dict[object, str]]:
    """Change a few parts of a run's documents, as often as is asked, and put them back in the end."""
    folder = folder_of(volume)
    documents = {name: json.loads((folder / name).read_text()) for name in DOCUMENTS}
    paths = [(name, path) for name, document in documents.items() for path in leaves(document)]
    paths = [one for one in paths if one[1] != ("run_id",)]
    chosen = random.Random(7) if ROUNDS is None else random.Random()
    for _ in range(rounds if ROUNDS is None else int(ROUNDS) // 40):
        changes = {one: chosen.choice(VALUES) for one in chosen.sample(paths, 6)}
        for name, document in documents.items():
            mine = {path: value for (where, path), value in changes.items() if where == name}
            (folder / name).write_text(written(document, mine))
        yield {one: value[:40] for one, value in changes.items()}
    for name, document in documents.items():
        (folder / name).write_text(json.dumps(document))


def fault(words: list[str], capsys: pytest.CaptureFixture[str]) -> str | None:
    """Run a command; return what is wrong with how it ended, or None."""
    code = main(words)
    output = capsys.readouterr()
    everything = output.out + output.err
    if UNEXPECTED in everything or "Traceback" in everything or not is_seen(everything):
        return f"{words[0]}: {code} {everything[-400:]!r}"
    if "--json" in words:
        json.loads(output.out, parse_constant=pytest.fail)
    return None


def filled(words: str, volume: SmallVolume, out: Path) -> list[str]:
    """Return a command with its volume, its output and its query."""
    found = [str(out) if word == "OUT" else word for word in words.split()]
    if found[0] == "query":
        found.insert(1, "select * from runs left join followup using (run_id) left join returns using (date)")
    return [*found, "--data", str(volume.data)]


def test_any_value_in_a_run_folder_is_shown_or_left_out_by_commands_and_pages(
    volume: SmallVolume, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """One run that a person has edited harms no list of runs."""
    faults: list[object] = []
    for changes in hostile_folders(volume, 4):
        told = [fault(filled(words, volume, tmp_path / "page.html"), capsys) for words in QUICK]
        faults += [(changes, one) for one in told if one]
        app = application(volume.volume)
        pages = [(address, *got(app, address)) for address in PAGES]
        faults += [(changes, *one) for one in pages if one[1] not in {200, 404} or not is_seen(one[2])]
    assert not faults, "\n".join(map(str, faults))


def test_any_value_in_a_run_folder_is_shown_or_left_out_by_reports(
    volume: SmallVolume, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """On pages too, no character is hidden."""
    faults: list[object] = []
    page = tmp_path / "page.html"
    for changes in hostile_folders(volume, 1):
        for words in SLOW:
            page.write_text("")
            told = fault(filled(words, volume, page), capsys)
            if told or not is_seen(page.read_text()):
                faults.append((changes, told))
    assert not faults, "\n".join(map(str, faults))


@pytest.mark.parametrize("value", NUMBERS, ids=lambda text: text[:20])
def test_any_number_in_a_record_of_mlflow_is_read_or_none(value: str, tmp_path: Path):
    """As its status and its time, in a flat file."""
    run = tmp_path / "1" / ("0" * 32)
    run.mkdir(parents=True)
    (run.parent / "meta.yaml").write_text("name: x\n")
    (run / "meta.yaml").write_text(f"artifact_uri: x\nstatus: {value}\nstart_time: {value}\n")
    [found] = recorded_runs(tmp_path)
    assert found.status >= 0


def test_any_value_in_a_dataset_is_refused_or_used(make_dataset: Callable[..., Dataset], tmp_path: Path):
    """Calendar, instruments and the manifest beside it, which a user may have copied with the data."""
    dataset = make_dataset(folder=tmp_path / "us", days=30)
    spec = parse_spec({"dataset": {"source": {"existing": {}}}}).dataset
    manifest = json.loads(json.dumps(vars(ensure(dataset.folder, spec).manifest)))
    beside = manifest_path(dataset.folder)
    texts = {
        name: (dataset.folder / name).read_text() for name in ("calendars/day.txt", "instruments/all.txt")
    }
    cases: list[tuple[str, str, str]] = [
        *((name, text, value) for name, text in texts.items() for value in (*NUMBERS, *DATES, *LETTERS)),
        *(("manifest", "".join(map(str, path)), value) for path in leaves(manifest) for value in VALUES),
    ]
    faults: list[object] = []
    for name, text, value in some(cases, 80):
        if name == "manifest":
            [path] = [one for one in leaves(manifest) if "".join(map(str, one)) == text]
            beside.write_text(written(manifest, {path: value}))
        else:
            (dataset.folder / name).write_text(text.replace("2020-01-10", value).replace("BBB", value))
        try:
            check_dataset(dataset.folder)
        except StageError as error:
            good = error.reason in {Reason.DATASET_INVALID, Reason.DATASET_STALE, Reason.INVALID_SPEC}
            if not good or len(error.message) > LONGEST or not is_seen(error.message):
                faults.append((name, text[:40], value[:40], error.reason, error.message[:300]))
        if name != "manifest":
            (dataset.folder / name).write_text(text)
    assert not faults, "\n".join(map(str, faults))


def check_dataset(folder: Path) -> None:
    """Use a dataset as the download stage does."""
    from datetime import UTC, datetime  # noqa: PLC0415

    from qlib_shadow_runner.dataset.ensure import check_age, check_claims, check_quality, find_fresh  # noqa: PLC0415
    from qlib_shadow_runner.dataset.quality.policy import Policy  # noqa: PLC0415

    spec = parse_spec({"dataset": {"source": {"existing": {}}, "maxAgeDays": 100_000}}).dataset
    today = datetime.now(UTC).date()
    found = find_fresh(folder, spec) or ensure(folder, spec)
    check_claims(found.manifest, spec)
    check_age(found.manifest, spec.max_age_days, today)
    check_quality(found.manifest, Policy.of(spec.quality), today).document()
