"""The cache: what the watches deliver, and how a full list corrects it."""

from __future__ import annotations

import pytest
from tests.unit.operator.documents import a_job_document, a_pod_document, a_run_document

from qlib_shadow_operator.loop import cluster_cache as cache_module
from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Key
from qlib_shadow_runner.contract import Stage

KEY = Key("research", "demo")


def full() -> ClusterCache:
    """Return a cache with a run, a Job and a Pod."""
    cache = ClusterCache()
    cache.put("runs", a_run_document(1))
    cache.put("jobs", a_job_document(2))
    cache.put("pods", a_pod_document(3))
    return cache


def test_a_run_is_gathered_with_its_jobs_and_pods():
    """They are found by their labels."""
    run, observed = full().gather(KEY)
    assert run is not None
    assert run.name == "demo"
    assert set(observed.jobs) == {Stage.DOWNLOAD}
    assert [pod.name for pod in observed.pods[Stage.DOWNLOAD]] == ["pod-1"]


def test_a_book_is_known_to_all_runs_of_its_claim_and_outlives_the_run_that_told_of_it():
    """Other claims and namespaces have other folders."""
    cache = full()
    assert not cache.gather(KEY)[1].has_books
    told = a_run_document(5, spec={"storage": {"claimName": "other"}}, status={"ledger": {"book": "us"}})
    told["metadata"] |= {"name": "before", "uid": "uid-before"}
    cache.put("runs", told)
    assert not cache.gather(KEY)[1].has_books
    told = {**told, "spec": {}, "metadata": {**told["metadata"], "uid": "uid-2", "resourceVersion": "6"}}
    cache.put("runs", told)
    assert cache.gather(KEY)[1].has_books
    cache.drop("runs", told)
    assert cache.gather(KEY)[1].has_books


@pytest.mark.parametrize(("told", "asks"), [({}, "shared"), ({"claimName": "shared"}, None)])
def test_a_book_is_known_whether_its_claim_is_named_or_the_default(told: dict[str, str], asks: str | None):
    """Both are the same folder."""
    cache = ClusterCache("shared")
    before = a_run_document(5, spec={"storage": told}, status={"ledger": {"book": "us"}})
    before["metadata"] |= {"name": "before", "uid": "uid-before"}
    cache.put("runs", before)
    cache.put("runs", a_run_document(1, spec={"storage": {"claimName": asks} if asks else {}}))
    assert cache.gather(KEY)[1].has_books


def test_order_of_events_does_not_matter():
    """A Pod may arrive before its Job, and a Job before its run."""
    cache = ClusterCache()
    assert cache.put("pods", a_pod_document(3)) == KEY
    assert cache.put("jobs", a_job_document(2)) == KEY
    assert cache.gather(KEY)[0] is None
    cache.put("runs", a_run_document(1))
    assert cache.gather(KEY) == full().gather(KEY)


def test_an_older_version_does_not_replace_a_newer_one():
    """The answer to a write is newer than pending watch events."""
    cache = full()
    cache.put("jobs", a_job_document(20, succeeded=1))
    cache.put("jobs", a_job_document(11, active=1))
    assert cache.gather(KEY)[1].jobs[Stage.DOWNLOAD].succeeded == 1


def test_known_version_is_not_parsed_again():
    """The watch repeats the answers to our own calls."""
    cache = full()
    before = cache.gather(KEY)[0]
    assert cache.put("runs", a_run_document(1)) == KEY
    assert cache.gather(KEY)[0] is before


def test_objects_of_an_earlier_run_of_the_same_name_are_ignored():
    """Ownership is by uid."""
    cache = full()
    cache.drop("runs", a_run_document(1))
    cache.put("runs", a_run_document(9, metadata={"uid": "another"}))
    run, observed = cache.gather(KEY)
    assert run is not None
    assert run.uid == "another"
    assert observed.jobs == {}
    assert observed.pods == {}


def test_a_pod_of_a_replaced_job_is_not_counted():
    """A recreated Job has a new uid."""
    cache = full()
    again = a_job_document(9)
    again["metadata"]["uid"] = "second"
    cache.drop("jobs", a_job_document(2))
    cache.put("jobs", again)
    assert cache.gather(KEY)[1].pods == {}


def test_dropped_objects_leave_nothing():
    """Nothing of it stays in memory."""
    cache = full()
    for kind, document in (
        ("runs", a_run_document()),
        ("jobs", a_job_document()),
        ("pods", a_pod_document()),
    ):
        assert cache.drop(kind, document) == KEY
    assert cache == ClusterCache(_lock=cache._lock)


def test_list_corrects_what_the_watch_missed():
    """A deletion, a change and a creation."""
    cache = full()
    cache.correct("pods", cache.snapshot("pods"), [])
    cache.correct(
        "jobs", cache.snapshot("jobs"), [a_job_document(7, succeeded=1), a_job_document(8, Stage.QRUN)]
    )
    _, observed = cache.gather(KEY)
    assert observed.pods == {}
    assert observed.jobs[Stage.DOWNLOAD].succeeded == 1
    assert Stage.QRUN in observed.jobs


def test_list_does_not_undo_newer_watch_events():
    """The list was requested before the watch events."""
    cache = full()
    before = cache.snapshot("jobs")
    cache.put("jobs", a_job_document(9, succeeded=1))
    cache.put("jobs", a_job_document(10, Stage.QRUN))
    cache.correct("jobs", before, [a_job_document(2)])
    _, observed = cache.gather(KEY)
    assert observed.jobs[Stage.DOWNLOAD].succeeded == 1
    assert Stage.QRUN in observed.jobs


def test_deleted_object_does_not_return_with_a_late_answer():
    """The watch delivered a Job's deletion before an earlier call that changed it was answered."""
    cache = full()
    cache.drop("jobs", a_job_document(9))
    assert cache.put("jobs", a_job_document(7, succeeded=1)) == KEY
    cache.correct("jobs", {}, [a_job_document(8)])
    assert cache.gather(KEY)[1].jobs == {}


def test_object_that_regains_its_labels_returns():
    """For a watch with a selector, an object that matches again is a new object with the same uid."""
    cache = full()
    cache.drop("jobs", a_job_document(9))
    cache.put("jobs", a_job_document(10))
    assert Stage.DOWNLOAD in cache.gather(KEY)[1].jobs


def test_number_of_remembered_deletions_is_limited(monkeypatch: pytest.MonkeyPatch):
    """Only the latest ones: answers are not delayed for long."""
    monkeypatch.setattr(cache_module, "DELETED_KEPT_MAX", 1)
    cache = full()
    cache.drop("jobs", a_job_document(9))
    cache.drop("pods", a_pod_document(9))
    cache.put("jobs", a_job_document(7))
    cache.put("pods", a_pod_document(7))
    _, observed = cache.gather(KEY)
    assert (len(observed.jobs), len(observed.pods)) == (1, 0)


def test_known_objects_of_a_list_are_not_parsed_again():
    """Thousands of unchanged finished runs are listed every ten minutes."""
    cache = full()
    before = cache.snapshot("jobs")
    cache.correct("jobs", before, [a_job_document(2)])
    assert [id(one) for one in cache.snapshot("jobs").values()] == [id(one) for one in before.values()]


def test_foreign_objects_are_ignored():
    """A Job without the operator's labels is ignored."""
    cache = ClusterCache()
    assert cache.put("jobs", {"metadata": {"name": "x", "uid": "y"}}) is None
    assert cache == ClusterCache(_lock=cache._lock)
