"""Wrong forms of a spec, each with the part of the sentence that runner and API server share."""

from __future__ import annotations

from typing import Any, Final

SELECTS: Final = {"matchLabels": {"app": "x"}}
NEAR: Final = {"topologyKey": "zone", "labelSelector": SELECTS}
SPREAD: Final = {"maxSkew": 1, **NEAR, "whenUnsatisfiable": "DoNotSchedule"}
PRICES: Final = {"path": "inbox/us.csv"}


def download(**settings: Any) -> dict[str, Any]:
    """Return a spec with settings of the download stage."""
    return {"stages": {"download": settings}}


def qrun(**settings: Any) -> dict[str, Any]:
    """Return a spec with settings of the qrun stage."""
    return {"stages": {"qrun": settings}}


def prices(**columns: Any) -> dict[str, Any]:
    """Return a spec with columns of price files."""
    return {"dataset": {"source": {"prices": {**PRICES, "columns": columns}}}}


def waive(**waiver: Any) -> dict[str, Any]:
    """Return a spec with an accepted finding."""
    return {"dataset": {"quality": {"waive": [waiver]}}}


def ledger(**fields: Any) -> dict[str, Any]:
    """Return a spec with a ledger."""
    return {"ledger": {"book": "us-shadow", **fields}}


def limits(**fields: Any) -> dict[str, Any]:
    """Return a spec with limits of a ledger."""
    return ledger(limits=fields)


def gates(**fields: Any) -> dict[str, Any]:
    """Return a spec with gates of a ledger."""
    return ledger(gates=fields)


def nodes(*expressions: dict[str, Any]) -> dict[str, Any]:
    """Return an affinity with conditions on nodes."""
    term = {"nodeSelectorTerms": [{"matchExpressions": list(expressions)}]}
    return {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": term}}


RIGHT: Final[dict[str, dict[str, Any]]] = {
    "model.from": {"workflow": {"model": {"from": "us-2026-11-20", "num_leaves": 31}}},
    "every setting of a pod": download(
        nodeSelector={"example.com/pool": "research"},
        tolerations=[{"key": "spot", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 60}],
        affinity={
            **nodes(
                {"key": "disk", "operator": "In", "values": ["ssd"]}, {"key": "gpu", "operator": "Exists"}
            ),
            "podAntiAffinity": {
                "preferredDuringSchedulingIgnoredDuringExecution": [{"weight": 1, "podAffinityTerm": NEAR}]
            },
        },
        topologySpreadConstraints=[SPREAD],
        priorityClassName="batch",
        runtimeClassName="gvisor",
        labels={"team": "alpha", "example.com/cost": ""},
        annotations={"cluster-autoscaler.kubernetes.io/safe-to-evict": "false"},
        serviceAccountName="reader",
        env={"AWS_REGION": "eu-west-1", "Lower_case": ""},
    ),
    "a cloud's identity for the download": download(labels={"azure.workload.identity/use": "true"}),
    "columns of one's own": prices(extra=["pe", "market_cap"], universes=["sp500"]),
    "a series": {"series": "us-2-nightly"},
    "a finding that is accepted": waive(finding="split_jumps", why="it fell", day="2000-09-29"),
    "a ledger": ledger(),
    "every field of a ledger": ledger(
        capital=1_000_000,
        targets={"topk": 20, "nDrop": 20, "weights": "inverseVol"},
        fill={"at": "open", "slippageBps": 2.5, "unfilled": "Carry", "delisted": "Zero", "slices": 6},
        decideBefore="09:00 America/New_York",
        calendar="XNYS",
        limits={
            "maxWeight": 0.1,
            "maxTurnover": 2,
            "minNames": 5,
            "maxGross": 0.95,
            "maxParticipation": 0.01,
        },
        gates={
            "maxDataAgeDays": 0,
            "maxModelAgeDays": 60,
            "liveIc": "Ignored",
            "drift": "Calibrated",
            "golden": False,
            "minCoverage": 0,
            "maxDrawdown": 0.2,
            "maxDailyLoss": 0.05,
        },
    ),
    "settings of the ledger's stage": {"stages": {"ledger": {"labels": {"team": "alpha"}, "retries": 0}}},
}
"""Forms that are right."""

WRONG: Final[dict[str, tuple[dict[str, Any], str]]] = {
    "model.from and retrain": (
        {"workflow": {"model": {"from": "us-1"}, "retrain": {"everyDays": 5}}},
        "takes retrain (a model is found) or model.from (a run is named), not both; remove one",
    ),
    "model.from of no run": (
        {"workflow": {"model": {"from": "../us-1"}}},
        'must be lower-case letters, digits, "-" and "."',
    ),
    "a label that is ours": (qrun(labels={"qlibshadow.io/stage": "download"}), "is reserved"),
    "a label of the application": (qrun(labels={"app.kubernetes.io/managed-by": "x"}), "is reserved"),
    "a label of Kueue": (qrun(labels={"kueue.x-k8s.io/queue-name": "x"}), "is reserved"),
    "an annotation that adds a network": (
        qrun(annotations={"k8s.v1.cni.cncf.io/networks": "x"}),
        "is reserved",
    ),
    "an annotation that adds a container": (
        download(annotations={"sidecar.istio.io/inject": "true"}),
        "is reserved",
    ),
    "a cloud's identity for the training": (
        qrun(labels={"azure.workload.identity/use": "true"}),
        "which only stages.download can have",
    ),
    "a node label without a name": (qrun(nodeSelector={"a b": "x"}), "must be the key of a label"),
    "a label without a name": (qrun(labels={"a b": "x"}), "must be the key of a label"),
    "a label's wrong value": (qrun(labels={"team": "-x"}), "must be the value of a label"),
    "a label's long value": (qrun(labels={"team": "x" * 64}), "team"),
    "a node label's wrong value": (qrun(nodeSelector={"disk": "s/d"}), "must be the value of a label"),
    "too many labels": (qrun(labels={f"l{n}": "x" for n in range(17)}), "16"),
    "a wrong priority class": (qrun(priorityClassName="Batch_1"), "must be a name of lower-case letters"),
    "a wrong runtime class": (qrun(runtimeClassName="g visor"), "must be a name of lower-case letters"),
    "a wrong account": (download(serviceAccountName="-x"), "must be a name of lower-case letters"),
    "an account for the training": (qrun(serviceAccountName="reader"), "serviceAccountName"),
    "variables for the training": (qrun(env={"A": "1"}), "env"),
    "a variable that is ours": (download(env={"QLIB_SHADOW_DATA": "/"}), "is reserved"),
    "a variable of the loader": (download(env={"LD_PRELOAD": "/data/x.so"}), "is reserved"),
    "a variable of Python": (download(env={"PYTHONPATH": "/data"}), "is reserved"),
    "a variable about trust": (download(env={"SSL_CERT_FILE": "/data/mine.pem"}), "is reserved"),
    "a variable of OpenSSL": (download(env={"OPENSSL_CONF": "x"}), "is reserved"),
    "a variable about the keys of TLS": (download(env={"SSLKEYLOGFILE": "x"}), "is reserved"),
    "a variable of the C library": (download(env={"GLIBC_TUNABLES": "x"}), "is reserved"),
    "a variable about modules of the C library": (download(env={"GCONV_PATH": "x"}), "is reserved"),
    "a variable about names of hosts": (download(env={"HOSTALIASES": "x"}), "is reserved"),
    "a proxy": (download(env={"https_proxy": "http://mine:1"}), "is reserved"),
    "a path": (download(env={"PATH": "/data"}), "is reserved"),
    "a variable's wrong name": (download(env={"A-B": "1"}), "must be the name of a variable"),
    "an annotation about a proxy's traffic": (
        download(annotations={"traffic.sidecar.istio.io/excludeOutboundPorts": "x"}),
        "is reserved",
    ),
    "an annotation of Istio": (download(annotations={"istio.io/rev": "x"}), "is reserved"),
    "an annotation that instruments": (
        download(annotations={"instrumentation.opentelemetry.io/inject-python": "x"}),
        "is reserved",
    ),
    "an annotation of Linkerd": (
        download(annotations={"config.linkerd.io/skip-outbound-ports": "x"}),
        "is reserved",
    ),
    "a label with an empty part": (qrun(labels={"a..b/c": "x"}), "must be the key of a label"),
    "a token": (qrun(automountServiceAccountToken=True), "automountServiceAccountToken"),
    "another container": (qrun(initContainers=[]), "initContainers"),
    "a security context": (qrun(securityContext={}), "securityContext"),
    "a host's network": (qrun(hostNetwork=True), "hostNetwork"),
    "a toleration with value and Exists": (
        qrun(tolerations=[{"key": "a", "operator": "Exists", "value": "x"}]),
        "takes no value with operator Exists",
    ),
    "a toleration without key": (qrun(tolerations=[{"effect": "NoExecute"}]), "needs operator Exists"),
    "a toleration for some seconds of nothing": (
        qrun(tolerations=[{"key": "a", "tolerationSeconds": 1}]),
        "takes tolerationSeconds only with effect NoExecute",
    ),
    "an affinity with an unknown field": (qrun(affinity={"nodeAffinities": {}}), "nodeAffinities"),
    "an affinity in other namespaces": (
        qrun(
            affinity={
                "podAffinity": {
                    "requiredDuringSchedulingIgnoredDuringExecution": [{**NEAR, "namespaces": ["x"]}]
                }
            }
        ),
        "namespaces",
    ),
    "a condition without values": (
        qrun(affinity=nodes({"key": "disk", "operator": "In"})),
        "needs values for In and NotIn",
    ),
    "a condition with values that it cannot have": (
        qrun(affinity=nodes({"key": "disk", "operator": "Exists", "values": ["x"]})),
        "needs values for In and NotIn",
    ),
    "a condition on a wrong key": (
        qrun(affinity=nodes({"key": "a b", "operator": "Exists"})),
        "must be the key of a label",
    ),
    "a preference without weight": (
        qrun(
            affinity={
                "nodeAffinity": {
                    "preferredDuringSchedulingIgnoredDuringExecution": [
                        {"preference": {"matchExpressions": []}}
                    ]
                }
            }
        ),
        "weight",
    ),
    "a spread of nothing": (qrun(topologySpreadConstraints=[{**SPREAD, "maxSkew": 0}]), "maxSkew"),
    "a spread with an unknown answer": (
        qrun(topologySpreadConstraints=[{**SPREAD, "whenUnsatisfiable": "Perhaps"}]),
        "DoNotSchedule",
    ),
    "a series in capitals": ({"series": "US-nightly"}, 'must be lower-case letters, digits and "-"'),
    "a series that ends with a dash": ({"series": "us-"}, 'must be lower-case letters, digits and "-"'),
    "a series with a dot": ({"series": "us.nightly"}, 'must be lower-case letters, digits and "-"'),
    "a series that is too long": ({"series": "n" * 64}, "63"),
    "a series that is a number": ({"series": 7}, "series"),
    "a time to live that is negative": ({"jobTtlSeconds": -1}, "jobTtlSeconds"),
    "a column that is a price": (prices(extra=["close"]), "must not be one of open, high"),
    "a column in capitals": (prices(extra=["PE"]), "must be made of lower-case letters"),
    "a universe of all": (prices(universes=["all"]), "must not be all"),
    "a universe with a dot": (prices(universes=["sp.500"]), "must be made of lower-case letters"),
    "a universe like the market": (prices(universes=["tradable"]), "gives one name to universe"),
    "a waiver without reason": (waive(finding="split_jumps"), "why"),
    "a waiver of what always blocks": (waive(finding="calendar_order", why="x"), "finding"),
    "a waiver of a place that there is not": (
        waive(finding="stale_end", why="x", instrument="A"),
        "takes neither instrument nor day",
    ),
    "a waiver of a day that is none": (waive(finding="split_jumps", why="x", day="soon"), "day"),
    "a step of nothing": (
        {"workflow": {"model": {"learning_rate": 0}}},
        "learning_rate must be a number from",
    ),
    "no gross at all": (limits(maxGross=0), "maxGross must be a number from 0.01 to 1"),
    "a ledger without a book": ({"ledger": {"capital": 1}}, "book"),
    "a book in capitals": (ledger(book="US"), 'must be lower-case letters, digits and "-"'),
    "a book outside": (ledger(book="../us"), 'must be lower-case letters, digits and "-"'),
    "a book that is too long": (ledger(book="b" * 53), "52"),
    "no capital": (ledger(capital=0), "capital"),
    "too much capital": (ledger(capital=1e16), "capital"),
    "capital in words": (ledger(capital="much"), "capital"),
    "no places": (ledger(targets={"topk": 0}), "topk"),
    "fewer than none replaced": (ledger(targets={"nDrop": -1}), "nDrop"),
    "more replaced than held": (
        ledger(targets={"topk": 5, "nDrop": 6}),
        "must have an nDrop of at most topk",
    ),
    "unknown weights": (ledger(targets={"weights": "value"}), "inverseVol"),
    "a fill at no price": (ledger(fill={"at": "vwap"}), "close"),
    "a slippage in favour": (ledger(fill={"slippageBps": -1}), "slippageBps"),
    "another end of what is unfilled": (ledger(fill={"unfilled": "Keep"}), "Carry"),
    "another end of what is delisted": (ledger(fill={"delisted": "Sell"}), "LastPrice"),
    "no slice": (ledger(fill={"slices": 0}), "slices"),
    "a time of no zone": (ledger(decideBefore="09:00"), "must be a time of day and a time zone"),
    "a time of no day": (ledger(decideBefore="24:00 UTC"), "must be a time of day and a time zone"),
    "an exchange by its name": (ledger(calendar="nyse"), "must be the code of an exchange"),
    "more than all in one": (limits(maxWeight=1.5), "maxWeight"),
    "no turnover": (limits(maxTurnover=0), "maxTurnover"),
    "fewer names than one": (limits(minNames=0), "minNames"),
    "borrowed money": (limits(maxGross=1.2), "maxGross"),
    "more than the volume": (limits(maxParticipation=2), "maxParticipation"),
    "an unknown limit": (limits(maxLoss=1), "maxLoss"),
    "data of an age below zero": (gates(maxDataAgeDays=-1), "maxDataAgeDays"),
    "a model without an age": (gates(maxModelAgeDays=0), "maxModelAgeDays"),
    "a limit of one's own on the live IC": (gates(liveIc=0.01), "liveIc"),
    "drift switched off in lower case": (gates(drift="off"), "Calibrated"),
    "golden in words": (gates(golden="yes"), "golden"),
    "more than all instruments": (gates(minCoverage=1.5), "minCoverage"),
    "no drawdown at all": (gates(maxDrawdown=0), "maxDrawdown"),
    "no daily loss at all": (gates(maxDailyLoss=0), "maxDailyLoss"),
    "a broker": (ledger(broker="x"), "broker"),
    "an account for the ledger": ({"stages": {"ledger": {"serviceAccountName": "x"}}}, "serviceAccountName"),
    "variables for the ledger": ({"stages": {"ledger": {"env": {"A": "1"}}}}, "env"),
}
"""Forms that are refused, with words of the sentence."""
