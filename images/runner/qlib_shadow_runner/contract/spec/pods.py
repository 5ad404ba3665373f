"""The settings of a stage's pod: where it runs, what it is marked with, what it may use.

A run sets them in `spec.stages`, within what the operator allows; the operator has defaults of the same form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from qlib_shadow_runner.contract.fields import Given, Record, Rule, between, defaulted, optional, required
from qlib_shadow_runner.contract.kinds import Choice, ListOf, Map, Text, TextCheck, Whole, matches

if TYPE_CHECKING:
    from collections.abc import Mapping

OWN_KEYS: Final = (
    "qlibshadow.io/",
    "app.kubernetes.io/",
    "batch.kubernetes.io/",
    "kueue.x-k8s.io/",
    "controller-uid",
    "job-name",
)
"""How labels and annotations begin that qlib-shadow, Kueue and the Job controller set."""
RESERVED_KEYS: Final = (
    *OWN_KEYS,
    # What adds containers or networks to a pod, or removes its seccomp and AppArmor profiles.
    "k8s.v1.cni.cncf.io/",
    "sidecar.istio.io/",
    "traffic.sidecar.istio.io/",
    "istio.io/",
    "instrumentation.opentelemetry.io/",
    "config.linkerd.io/",
    "linkerd.io/",
    "consul.hashicorp.com/",
    "vault.hashicorp.com/",
    "container.apparmor.security.beta.kubernetes.io/",
    "container.seccomp.security.alpha.kubernetes.io/",
    "seccomp.security.alpha.kubernetes.io/",
)
"""How labels and annotations begin that no run can set; an installer can, to switch such a webhook off."""
IDENTITY_KEYS: Final = ("azure.workload.identity/",)
"""How labels and annotations begin that give a pod a cloud's token; no closed stage has them."""
RESERVED_VARIABLES: Final = ("QLIB_SHADOW_", "PYTHON", "LD_", "SSL_", "REQUESTS_", "CURL_")
"""How variables begin that no run can set: they choose the program, or whom it trusts with a Secret."""
RESERVED_NAMES: Final = (
    r"(?i)(path|home|tz|(https?|all|no)_proxy"
    # What TLS and the C library read: settings, keys of connections, modules to load, names of hosts.
    "|openssl_.*|sslkeylogfile|gconv_path|glibc_tunables|hostaliases|localdomain|res_options)"
)
MARKS_MAX: Final = 16
"""The most labels, annotations or variables."""


def begins_with_none(prefixes: tuple[str, ...], must: str) -> TextCheck:
    """Return the check that a text begins with none of these."""
    return TextCheck(
        must,
        lambda key: not key.startswith(prefixes),
        f"!{list(prefixes)}.exists(prefix, self.startsWith(prefix))",
        # Without re.escape, whose escape of "-" ECMAScript does not know.
        unlike=f"^({'|'.join(prefixes)})".replace(".", r"\."),
    )


SUBDOMAIN: Final = "[a-z0-9]([a-z0-9-]*[a-z0-9])?([.][a-z0-9]([a-z0-9-]*[a-z0-9])?)*"
LABEL_KEY: Final = Text(
    317,
    (
        matches(
            rf"({SUBDOMAIN}/)?[A-Za-z0-9]([A-Za-z0-9._-]{{0,61}}[A-Za-z0-9])?",
            "must be the key of a label, such as disk or example.com/disk",
        ),
    ),
)
"""The key of a label, an annotation or a node's label."""
LABEL_VALUE: Final = Text(
    63,
    (
        matches(
            "([A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)?",
            "must be the value of a label: letters, digits, -, _ and .",
        ),
    ),
    least=0,
)
MARK_KEY: Final = Text(
    317,
    (
        *LABEL_KEY.checks,
        begins_with_none(
            RESERVED_KEYS, "is reserved: the operator sets it, or it changes what a pod consists of"
        ),
    ),
)
"""The key of a label or annotation that a run can set."""
CLOSED_MARK_KEY: Final = Text(
    317,
    (
        *MARK_KEY.checks,
        begins_with_none(
            IDENTITY_KEYS,
            "is reserved: it gives a pod a cloud's identity, which only stages.download can have",
        ),
    ),
)
"""The key of a label or annotation that a run can set for a closed stage."""
VARIABLE: Final = Text(
    128,
    (
        matches("[A-Za-z_][A-Za-z0-9_]*", "must be the name of a variable: letters, digits and _"),
        begins_with_none(
            RESERVED_VARIABLES, "is reserved: it belongs to qlib-shadow, or decides what runs or is trusted"
        ),
        TextCheck(
            "is reserved: only the installer sets paths, proxies, the time zone and what TLS or libc reads",
            lambda name: re.fullmatch(RESERVED_NAMES, name) is None,
            f"!self.matches('^{RESERVED_NAMES}$')",
        ),
    ),
)
OBJECT_NAME: Final = Text(
    253,
    (matches("[a-z0-9]([a-z0-9.-]*[a-z0-9])?", 'must be a name of lower-case letters, digits, "-" and "."'),),
)
LABELS: Final = Map(LABEL_VALUE, MARKS_MAX)


def labels_field(names: Text) -> Any:
    """Return the field of labels whose keys are such."""
    about = "Labels of the stage's Job and pods, beside the operator's."
    return defaulted(Map(LABEL_VALUE, MARKS_MAX, names), about, {})


def annotations_field(names: Text) -> Any:
    """Return the field of annotations whose keys are such."""
    about = "Annotations of the stage's Job and pods, beside the operator's."
    return defaulted(Map(Text(1024, least=0), MARKS_MAX, names), about, {})


@dataclass(frozen=True)
class Toleration(Record):
    """A toleration of a stage's pod."""

    key: str | None = optional(Text(317, least=0), "The taint's key; empty is all.")
    operator: str | None = optional(Choice(("Exists", "Equal")), "How the value is compared. Default: Equal.")
    value: str | None = optional(Text(63, least=0), "The taint's value.")
    effect: str | None = optional(
        Choice(("NoSchedule", "PreferNoSchedule", "NoExecute")), "The taint's effect; empty is all."
    )
    toleration_seconds: int | None = optional(Whole(-(2**31), 2**31 - 1), "How long NoExecute is tolerated.")

    RULES = (
        between(
            *("operator", "value"),
            must="takes no value with operator Exists; remove one of the two",
            holds=lambda operator, value: operator != "Exists" or not value,
            cel="self.operator != 'Exists' || self.value == ''",
        ),
        Rule(
            "needs operator Exists without a key, since it then tolerates every taint; write the key",
            lambda values: values.get("key") or values.get("operator") == "Exists",
            "(has(self.key) && self.key != '') || (has(self.operator) && self.operator == 'Exists')",
        ),
        Rule(
            "takes tolerationSeconds only with effect NoExecute; remove it",
            lambda values: "tolerationSeconds" not in values or values.get("effect") == "NoExecute",
            "!has(self.tolerationSeconds) || (has(self.effect) && self.effect == 'NoExecute')",
        ),
    )


@dataclass(frozen=True)
class Expression(Record):
    """One condition on a label."""

    key: str = required(LABEL_KEY, "The label's key.")
    operator: str = required(
        Choice(("In", "NotIn", "Exists", "DoesNotExist")), "How the label is compared with the values."
    )
    compared: tuple[str, ...] | None = optional(
        ListOf(LABEL_VALUE, 16, "values, for example [spot]"),
        "The values for In and NotIn; else none.",
        key="values",
    )

    RULES = (
        Rule(
            "needs values for In and NotIn, and for them alone; correct one of the two",
            lambda values: bool(values.get("values")) == (values.get("operator") in {"In", "NotIn"}),
            "(self.operator in ['In', 'NotIn']) == (has(self.values) && size(self.values) > 0)",
            ("operator",),
        ),
    )


@dataclass(frozen=True)
class LabelSelector(Record):
    """Which pods of the namespace are meant."""

    match_labels: Mapping[str, str] = defaulted(LABELS, "Labels that the pods have.", {})
    match_expressions: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(Expression), 8, "conditions"), "More conditions on their labels.", ()
    )


@dataclass(frozen=True)
class NodeTerm(Record):
    """Conditions that a node must meet, all of them."""

    LACK = "the conditions on the node's labels"
    match_expressions: tuple[Mapping[str, Any], ...] = required(
        ListOf(Given(Expression), 8, "conditions, for example [{key: disk, operator: Exists}]"),
        "The conditions on the node's labels.",
    )


@dataclass(frozen=True)
class NodeSelector(Record):
    """Nodes by their labels."""

    node_selector_terms: tuple[Mapping[str, Any], ...] = required(
        ListOf(Given(NodeTerm), 4, "terms"), "Terms, of which a node must meet one."
    )


@dataclass(frozen=True)
class PreferredNodes(Record):
    """Nodes that are preferred."""

    weight: int = required(Whole(1, 100), "How much it counts.")
    preference: Mapping[str, Any] = required(Given(NodeTerm), "Which nodes.")


@dataclass(frozen=True)
class NodeAffinity(Record):
    """Which nodes may run the pod, and which are preferred."""

    required_during_scheduling_ignored_during_execution: Mapping[str, Any] | None = optional(
        Given(NodeSelector), "Nodes that may run the pod."
    )
    preferred_during_scheduling_ignored_during_execution: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(PreferredNodes), 4, "preferences"), "Nodes that are preferred.", ()
    )


@dataclass(frozen=True)
class PodTerm(Record):
    """Pods of the run's own namespace, and the part of the cluster that counts as near them."""

    topology_key: str = required(LABEL_KEY, "Label of nodes; nodes with the same value are near each other.")
    label_selector: Mapping[str, Any] = required(Given(LabelSelector), "Which pods.")


@dataclass(frozen=True)
class PreferredPods(Record):
    """Pods whose nearness, or distance, is preferred."""

    weight: int = required(Whole(1, 100), "How much it counts.")
    pod_affinity_term: Mapping[str, Any] = required(Given(PodTerm), "Which pods, and how near.")


@dataclass(frozen=True)
class PodAffinity(Record):
    """Pods that the pod is to be near to, or far from."""

    required_during_scheduling_ignored_during_execution: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(PodTerm), 4, "terms"), "Terms that must hold, all of them.", ()
    )
    preferred_during_scheduling_ignored_during_execution: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(PreferredPods), 4, "preferences"), "Terms that are preferred.", ()
    )


@dataclass(frozen=True)
class Affinity(Record):
    """Which nodes and which other pods a stage's pod is drawn to, in the form of a pod's own affinity."""

    node_affinity: Mapping[str, Any] | None = optional(Given(NodeAffinity), "Nodes, by their labels.")
    pod_affinity: Mapping[str, Any] | None = optional(Given(PodAffinity), "Pods to be near to.")
    pod_anti_affinity: Mapping[str, Any] | None = optional(Given(PodAffinity), "Pods to be far from.")


@dataclass(frozen=True)
class TopologySpread(Record):
    """How pods are spread over parts of the cluster."""

    max_skew: int = required(Whole(1, 1000), "Most difference in the number of pods between two parts.")
    topology_key: str = required(LABEL_KEY, "Label of nodes; nodes with the same value are one part.")
    when_unsatisfiable: str = required(
        Choice(("DoNotSchedule", "ScheduleAnyway")), "What happens where it cannot be met."
    )
    label_selector: Mapping[str, Any] = required(Given(LabelSelector), "Which pods are counted.")


@dataclass(frozen=True)
class PodSettings(Record):
    """The settings of every stage's pod."""

    node_selector: Mapping[str, str] = defaulted(
        Map(LABEL_VALUE, MARKS_MAX, LABEL_KEY),
        "Labels of the nodes that may run the stage, beside the operator's.",
        {},
    )
    tolerations: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(Toleration), 16, "tolerations"),
        "Taints of nodes that do not keep the stage away, beside the operator's.",
        (),
    )
    affinity: Mapping[str, Any] | None = optional(
        Given(Affinity),
        "Nodes and pods that the stage's pod is drawn to; what the operator's setting requires holds, too.",
    )
    topology_spread_constraints: tuple[Mapping[str, Any], ...] = defaulted(
        ListOf(Given(TopologySpread), 4, "constraints"),
        "How the stage's pod is spread among others. Default: the operator's setting.",
        (),
    )
    priority_class_name: str | None = optional(
        OBJECT_NAME, "PriorityClass of the stage's pod. Default: the operator's setting."
    )
    runtime_class_name: str | None = optional(
        OBJECT_NAME, "RuntimeClass of the stage's pod. Default: the operator's setting."
    )
    labels: Mapping[str, str] = labels_field(MARK_KEY)
    annotations: Mapping[str, str] = annotations_field(MARK_KEY)


@dataclass(frozen=True)
class OpenPodSettings(PodSettings):
    """The settings of the pod of a stage that reaches the network; a closed one has nothing of this."""

    service_account_name: str | None = optional(
        OBJECT_NAME,
        "ServiceAccount of the stage's pod, for a cloud's workload identity. The pod gets no token for "
        "Kubernetes. Default: the operator's setting.",
    )
    env: Mapping[str, str] = defaulted(
        Map(Text(1024, least=0), MARKS_MAX, VARIABLE),
        "Variables of the stage's first process, beside the operator's. The programs that it starts, one of "
        "which downloads, get a fixed list of names instead.",
        {},
    )
