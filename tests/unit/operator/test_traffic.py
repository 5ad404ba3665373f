"""What a request is about, parsed from its URL, in few distinct values."""

from __future__ import annotations

import pytest

from qlib_shadow_operator.kube.traffic import Call, describe

ADDRESSES = {
    ("GET", "/apis/qlibshadow.io/v1alpha1"): Call("get", "discovery", None),
    ("GET", "/api"): Call("get", "discovery", None),
    ("GET", "/apis/qlibshadow.io/v1alpha1/qlibshadowruns"): Call("list", "runs", None),
    ("GET", "/apis/qlibshadow.io/v1alpha1/namespaces/a/qlibshadowruns"): Call("list", "runs", "a"),
    ("PATCH", "/apis/qlibshadow.io/v1alpha1/namespaces/a/qlibshadowruns/demo/status"): Call(
        "patch", "runs/status", "a"
    ),
    ("DELETE", "/apis/qlibshadow.io/v1alpha1/namespaces/a/qlibshadowruns/demo"): Call("delete", "runs", "a"),
    ("POST", "/apis/batch/v1/namespaces/a/jobs"): Call("create", "jobs", "a"),
    ("GET", "/apis/batch/v1/namespaces/a/jobs/demo-1-qrun"): Call("get", "jobs", "a"),
    ("POST", "/apis/events.k8s.io/v1/namespaces/a/events"): Call("create", "events", "a"),
    ("GET", "/api/v1/namespaces/a/pods"): Call("list", "pods", "a"),
    ("GET", "/k8s/clusters/c-1/api/v1/pods"): Call("list", "pods", None),
    ("GET", "/api/v1/namespaces/a"): Call("get", "other", None),
    ("PUT", "/apis/coordination.k8s.io/v1/namespaces/a/leases/x"): Call("update", "other", "a"),
}


@pytest.mark.parametrize(("request_", "call"), ADDRESSES.items(), ids=str)
def test_request_is_described_by_its_url(request_: tuple[str, str], call: Call):
    """For kopf's requests and ours alike."""
    assert describe(*request_) == call


def test_watch_is_not_a_list():
    """Only the URL's query distinguishes them."""
    assert describe("GET", "/apis/batch/v1/jobs", watch=True) == Call("watch", "jobs", None)
