"""The cache: what the watches told, and how a full list repairs what they missed."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.unit.operator.documents import a_job_document, a_pod_document, a_run_document

from qlib_shadow_operator.loop import cluster_cache as cache_module
from qlib_shadow_operator.loop.cluster_cache import ClusterCache, Key
from qlib_shadow_runner.contract import Stage

if TYPE_CHECKING:
    import pytest

KEY = Key("research", "demo")


def full() -> ClusterCache:
    """Fill a cache with a run, a Job and a Pod."""
    cache = ClusterCache()
    cache.put("runs", a_run_document(1))
    cache.put("jobs", a_job_document(2))
    cache.put("pods", a_pod_document(3))
    return cache


def test_a_run_is_gathered_with_its_jobs_and_pods():
    """By the labels on them."""
    run, observed = full().gather(KEY)
    assert run is not None
    assert run.name == "demo"
    assert set(observed.jobs) == {Stage.DOWNLOAD}
    assert [pod.name for pod in observed.pods[Stage.DOWNLOAD]] == ["pod-1"]


def test_the_order_of_news_does_not_matter():
    """A Pod may be heard of before its Job, and a Job before its run."""
    cache = ClusterCache()
    assert cache.put("pods", a_pod_document(3)) == KEY
    assert cache.put("jobs", a_job_document(2)) == KEY
    assert cache.gather(KEY)[0] is None
    cache.put("runs", a_run_document(1))
    assert cache.gather(KEY) == full().gather(KEY)


def test_an_older_version_does_not_replace_a_newer_one():
    """What a write returned is newer than what the watch still has to tell."""
    cache = full()
    cache.put("jobs", a_job_document(20, succeeded=1))
    cache.put("jobs", a_job_document(11, active=1))
    assert cache.gather(KEY)[1].jobs[Stage.DOWNLOAD].succeeded == 1


def test_a_version_that_is_known_is_not_read_again():
    """The watch repeats what our own calls have been answered."""
    cache = full()
    before = cache.gather(KEY)[0]
    assert cache.put("runs", a_run_document(1)) == KEY
    assert cache.gather(KEY)[0] is before


def test_an_earlier_run_of_the_same_name_leaves_nothing_to_the_next():
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
    """A Job that was deleted and made again begins anew."""
    cache = full()
    again = a_job_document(9)
    again["metadata"]["uid"] = "second"
    cache.drop("jobs", a_job_document(2))
    cache.put("jobs", again)
    assert cache.gather(KEY)[1].pods == {}


def test_what_is_dropped_is_gone():
    """Nothing of it stays in memory."""
    cache = full()
    for kind, document in (
        ("runs", a_run_document()),
        ("jobs", a_job_document()),
        ("pods", a_pod_document()),
    ):
        assert cache.drop(kind, document) == KEY
    assert cache == ClusterCache(_lock=cache._lock)


def test_a_list_repairs_what_the_watch_missed():
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


def test_a_list_does_not_undo_what_the_watch_told_meanwhile():
    """The list was asked for before."""
    cache = full()
    before = cache.snapshot("jobs")
    cache.put("jobs", a_job_document(9, succeeded=1))
    cache.put("jobs", a_job_document(10, Stage.QRUN))
    cache.correct("jobs", before, [a_job_document(2)])
    _, observed = cache.gather(KEY)
    assert observed.jobs[Stage.DOWNLOAD].succeeded == 1
    assert Stage.QRUN in observed.jobs


def test_what_is_gone_does_not_come_back_with_a_late_answer():
    """The watch told of a Job's deletion before the call that had changed it was answered."""
    cache = full()
    cache.drop("jobs", a_job_document(9))
    assert cache.put("jobs", a_job_document(7, succeeded=1)) == KEY
    cache.correct("jobs", {}, [a_job_document(8)])
    assert cache.gather(KEY)[1].jobs == {}


def test_what_gets_its_labels_back_comes_back():
    """To a watch, an object that was left out and is taken in again is another one of the same uid."""
    cache = full()
    cache.drop("jobs", a_job_document(9))
    cache.put("jobs", a_job_document(10))
    assert Stage.DOWNLOAD in cache.gather(KEY)[1].jobs


def test_only_so_many_are_remembered_to_be_gone(monkeypatch: pytest.MonkeyPatch):
    """The latest ones: an answer is not under way for long."""
    monkeypatch.setattr(cache_module, "DELETED_KEPT_MAX", 1)
    cache = full()
    cache.drop("jobs", a_job_document(9))
    cache.drop("pods", a_pod_document(9))
    cache.put("jobs", a_job_document(7))
    cache.put("pods", a_pod_document(7))
    _, observed = cache.gather(KEY)
    assert (len(observed.jobs), len(observed.pods)) == (1, 0)


def test_a_list_of_what_is_known_is_not_read_again():
    """Thousands of finished runs are listed every ten minutes, and none of them changes."""
    cache = full()
    before = cache.snapshot("jobs")
    cache.correct("jobs", before, [a_job_document(2)])
    assert [id(one) for one in cache.snapshot("jobs").values()] == [id(one) for one in before.values()]


def test_strangers_are_not_taken_in():
    """A Job without our labels is none of ours."""
    cache = ClusterCache()
    assert cache.put("jobs", {"metadata": {"name": "x", "uid": "y"}}) is None
    assert cache == ClusterCache(_lock=cache._lock)
