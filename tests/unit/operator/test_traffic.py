"""What a request is about, read off its address; few words, whatever is asked for."""

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
def test_an_address_says_what_is_asked(request_: tuple[str, str], call: Call):
    """Of kopf's requests and of ours alike."""
    assert describe(*request_) == call


def test_a_watch_is_no_list():
    """Only its query tells them apart."""
    assert describe("GET", "/apis/batch/v1/jobs", watch=True) == Call("watch", "jobs", None)
