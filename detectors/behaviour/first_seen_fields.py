"""Fields of calls that tell what somebody did in few words: the deed, whose namespace, which account, from how far.

A deed is what attackers of clusters do and most workloads don't (MITRE ATT&CK, Containers: T1552.007, T1609, T1610,
T1098.006, T1053.007, T1528; Kubernetes' "RBAC good practices" lists the same requests as privilege escalation).
"""

from __future__ import annotations

import ipaddress
from functools import lru_cache
from typing import Final

from vedette.schema.limits import SECOND_NS
from vedette.schema.observation import Observation

SERVICE_ACCOUNT: Final = "system:serviceaccount:"
_TOKEN: Final = "serviceaccounts/token"  # noqa: S105 - a subresource
_ENTRY: Final = frozenset(
    {
        *("pods/exec", "pods/attach", "pods/portforward", "pods/proxy", "pods/ephemeralcontainers"),
        *("services/proxy", "nodes/proxy", _TOKEN),
    }
)
_READS: Final = frozenset({"get", "list", "watch"})
_DELETES: Final = frozenset({"delete", "deletecollection"})
_LISTS: Final = frozenset({"list", "watch"})
_WRITTEN: Final = frozenset(
    {
        *("secrets", "pods", "deployments", "daemonsets", "statefulsets", "replicasets", "replicationcontrollers"),
        *("jobs", "cronjobs", "roles", "rolebindings", "clusterroles", "clusterrolebindings"),
        *("mutatingwebhookconfigurations", "validatingwebhookconfigurations", "validatingadmissionpolicies"),
        *("certificatesigningrequests/approval", "customresourcedefinitions", "apiservices"),
    }
)
_READ: Final = frozenset({"secrets", "roles", "rolebindings", "clusterroles", "clusterrolebindings"})
_PRIVILEGES: Final = frozenset(
    {
        *(
            "roles",
            "rolebindings",
            "clusterroles",
            "clusterrolebindings",
            _TOKEN,
            "certificatesigningrequests/approval",
        ),
        *("mutatingwebhookconfigurations", "validatingwebhookconfigurations", "validatingadmissionpolicies"),
    }
)
_DAY_NS: Final = 86_400 * SECOND_NS
_HOUR_NS: Final = 3_600 * SECOND_NS
_NIGHT_BEFORE_H: Final = 6
_NIGHT_FROM_H: Final = 22
_ALIKE: Final = frozenset({"deployments", "statefulsets", "replicasets", "replicationcontrollers"})
"""Who rolls out the one rolls out the others some day."""
_OWN: Final = "(own)"
_OTHER: Final = "(other)"
_CLUSTER: Final = "(cluster)"
_WIDE_IPV4: Final = 16
_WIDE_IPV6: Final = 48


def deed(seen: Observation) -> str:
    """Say what sensitive thing a call did, `write cronjobs`; "" of all others. Verbs of one effect are one."""
    resource, verb = seen.resource, seen.verb
    if resource in _ENTRY:
        return f"use {resource}"
    if verb in _READS:
        return f"{'get' if verb == 'get' else 'list'} {resource}" if resource in _READ else ""
    if resource not in _WRITTEN:
        return ""
    return f"{'delete' if verb in _DELETES else 'write'} {'workloads' if resource in _ALIKE else resource}"


def night_deed(seen: Observation) -> str:
    """Say what sensitive thing a call did between 22 and 6 o'clock UTC."""
    hour = seen.time_ns % _DAY_NS // _HOUR_NS
    return deed(seen) if hour < _NIGHT_BEFORE_H or hour >= _NIGHT_FROM_H else ""


def privilege_deed(seen: Observation) -> str:
    """Say how a call changed who may do what: roles, tokens, certificates, admission."""
    told = deed(seen)
    return told if told.partition(" ")[2] in _PRIVILEGES and told[:3] not in ("get", "lis") else ""


def deed_or_list(seen: Observation) -> str:
    """Say as well what was listed: workloads look after objects that they know by name; who explores lists."""
    return deed(seen) or (f"list {seen.resource}" if seen.verb in _LISTS else "")


def reach(seen: Observation) -> str:
    """Say whether a service account acts in its `(own)` namespace, an `(other)`, or on the whole `(cluster)`.

    No namespace's name has parentheses. Of others it is the namespace.
    """
    if not seen.namespace:
        return _CLUSTER
    if not seen.actor.startswith(SERVICE_ACCOUNT):
        return seen.namespace
    return _OWN if seen.actor.startswith(f"{SERVICE_ACCOUNT}{seen.namespace}:") else _OTHER


def token_account(seen: Observation) -> str:
    """Name the service account that a token was made for, as its calls name it; "" where none was.

    Kubelets ask for a token when a pod starts and again before it expires, whether the pod ever uses it or not.
    """
    if seen.resource != _TOKEN or seen.verb != "create" or seen.outcome != "allow":
        return ""
    return f"{SERVICE_ACCOUNT}{seen.namespace}:{seen.name}"


@lru_cache(maxsize=65_536)
def wide_network(address: str) -> str:
    """Return the wider network of an address: /16 of IPv4, /48 of IPv6; the text itself if it is none."""
    try:
        found = ipaddress.ip_address(address)
    except ValueError:
        return address
    prefix = _WIDE_IPV4 if found.version == 4 else _WIDE_IPV6  # noqa: PLR2004 - versions of IP
    return str(ipaddress.ip_network(f"{address}/{prefix}", strict=False))
