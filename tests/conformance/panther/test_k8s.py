"""Labelled audit events of EKS and AKS against our nearest rules: does each behaviour show, and its twin not?

A theme is one behaviour. Of its events the rules named here have to find those that show it, at any level, and none of
the others; what else our rules say of an event is not judged. Events of GKE come in the shape of Cloud Audit Logs,
which no source of ours speaks.
"""

import json
from collections.abc import Mapping
from functools import cache
from typing import Any, Final

import pytest

from collector.decoders import DECODERS
from detectors.engine import Engine
from detectors.packs import shipped_pack_texts
from detectors.sigma import load_rules
from tests.conformance.report import Record as RecordProperty
from tests.conformance.report import judge, rows
from vedette.schema.event import Event
from vedette.schema.record import Record, Run

Row = dict[str, Any]

PACKS: Final = ("starter", "audit")
RECALL_MIN: Final = 0.90
FALSE_POSITIVES_MAX: Final = 0.03

_FROM_OUTSIDE: Final = ("Service Account Token Used From A Public Address", "Node Identity Used From A Public Address")
_HOST: Final = ("Host Namespace Shared With A Pod",)
THEMES: Final[Mapping[str, tuple[str, ...]]] = {
    "Amazon.EKS.Audit.SystemNamespaceFromPublicIP": _FROM_OUTSIDE,
    "Kubernetes.AdmissionController.Created": (
        "Admission Control Changed",
        "Admission Webhook To A Foreign Address",
    ),
    "Kubernetes.API.Multiple403.PublicIP": (
        "Request Refused From A Public Address",
        "Service Account Refused From A Public Address",
    ),
    "Kubernetes.BulkSecretAccess": (
        "Person Denied Access To Secrets",
        "Secret Read By A Person",
        "Secrets Listed With Cluster-Wide Rights",
        "Secrets Watched By A Person",
    ),
    "Kubernetes.CronJob.CreatedOrModified": ("CronJob Created Or Changed",),
    "Kubernetes.DaemonSet.Created": ("DaemonSet Created",),
    "Kubernetes.Ingress.NoTLS": ("Ingress Without TLS Created",),
    "Kubernetes.Kubectl.CP.Operation": ("Files Copied Out Of A Pod",),
    "Kubernetes.Pod.Dangerous.Capabilities": (
        "Capability Beyond The Default Added",
        "Dangerous Capability Added To A Container",
    ),
    "Kubernetes.Pod.Exec": ("Command Run In A Pod",),
    "Kubernetes.Pod.Host.IPC": _HOST,
    "Kubernetes.Pod.Host.Network": _HOST,
    "Kubernetes.Pod.Host.PID": _HOST,
    "Kubernetes.Pod.SystemNamespace": ("Pod Created By Hand In A System Namespace",),
    "Kubernetes.Role.NodeProxyPermissions": (
        "Role With A Wildcard Written",
        "Role With Escalation Rights Created",
    ),
    "Kubernetes.Role.WritePermissions": ("Role With Write Rights Created",),
    "Kubernetes.Secrets.DumpAllNamespaces": ("Secrets Listed Across All Namespaces",),
    "Kubernetes.ServiceAccount.TokenCreated": (
        "Service Account Token Minted By A Component",
        "Service Account Token Minted By A Person",
        "System Service Account Token Minted",
    ),
    "Kubernetes.System.Principal.PublicIP": _FROM_OUTSIDE,
    "Kubernetes.SystemRole.Modified": ("Built-In Role Changed",),
}
"""Our nearest rules for each behaviour."""

OUT_OF_SCOPE: Final = {"Kubernetes.API.IOC.Activity": "needs a feed of addresses"}
PINNED: Final = {
    "Kubernetes.System.Principal.PublicIP#12": "the last address is the caller's; one before it may be forged",
}


@cache
def engine() -> Engine:
    loaded = load_rules(text for text in shipped_pack_texts() if text.pack in PACKS)
    assert loaded.errors == ()
    return Engine(loaded.rules, DECODERS)


def audit_event(row: Row) -> Row | None:
    """Return a Kubernetes audit event, unwrapped; None if a row holds another kind of log."""
    if row["log_type"] == "Amazon.EKS.Audit":
        found: Any = row["log"]
    elif row["log_type"] == "Azure.MonitorActivity":
        found = row.get("inner_k8s_audit") or row["log"].get("properties", {}).get("log")
    else:
        return None
    found = json.loads(found) if isinstance(found, str) else found
    return found if isinstance(found, dict) else None


def titles(document: Row) -> set[str]:
    """Return which of our rules match an event."""
    decoder = DECODERS["kube_audit"]
    record = Record(1, 1, json.dumps(document).encode(), Run("test", decoder.name, 1), 1)
    event = Event(record, decoder, decoder.decode(record.payload, ""))
    return {match.rule.title for match in engine().match(event)}


def wrong(row: Row, document: Row) -> str:
    found = bool(titles(document) & set(THEMES[row["rule_id"]]))
    if found is row["expected"]:
        return ""
    return f"missed: {row['test']}" if row["expected"] else f"false positive: {row['test']}"


@cache
def cases() -> tuple[tuple[Row, Row | None], ...]:
    return tuple((row, audit_event(row)) for row in rows("panther/k8s/cases.jsonl"))


def test_every_theme_has_rules_or_a_reason() -> None:
    assert {row["rule_id"] for row, document in cases() if document} <= {*THEMES, *OUT_OF_SCOPE}
    assert {title for named in THEMES.values() for title in named} <= {rule.info.title for rule in engine().rules}


@pytest.mark.parametrize("theme", THEMES)
def test_theme(theme: str, record_property: RecordProperty) -> None:
    of_theme = [(row, document) for row, document in cases() if row["rule_id"] == theme]
    results = {row["id"]: wrong(row, document) for row, document in of_theme if document is not None}
    if not results:
        pytest.skip("this part of the vectors has no event of the theme")
    left_out = {"in another shape than audit events": len(of_theme) - len(results)}
    judge(f"panther/{theme}", results, PINNED, record_property, left_out)


def test_recall_and_false_positives() -> None:
    judged = [(row, wrong(row, document)) for row, document in cases() if document and row["rule_id"] in THEMES]
    attacks = [missed for row, missed in judged if row["expected"]]
    others = [mistaken for row, mistaken in judged if not row["expected"]]
    assert attacks.count("") >= RECALL_MIN * len(attacks)
    assert len(others) - others.count("") <= FALSE_POSITIVES_MAX * len(others), [each for each in others if each]
