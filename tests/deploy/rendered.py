"""The chart, its renders and the plain manifests: where they lie, and what a cluster would ask of them."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any, Final

import yaml

ROOT: Final = Path(__file__).parents[2]
DEPLOY: Final = ROOT / "deploy"
CHART: Final = DEPLOY / "helm" / "vedette"
FULL_VALUES: Final = CHART / "ci" / "full-values.yaml"
GOLDEN: Final = Path(__file__).parent / "golden"
PLAIN: Final = DEPLOY / "kubernetes" / "vedette.yaml"
PLAIN_HEAD: Final = """\
# The chart deploy/helm/vedette with its default values, for clusters without Helm; made by tests/deploy/test_helm.py.
# kubectl apply -f namespace.yaml -f vedette.yaml
"""
PORTS: Final = {"falco": 2801, "audit": 9765, "metrics": 9466}
_OF_HELM: Final = re.compile(r"^ +(helm\.sh/chart|app\.kubernetes\.io/managed-by): .*\n|^# Source: .*\n", re.MULTILINE)

Manifest = dict[str, Any]


def plain(render: str) -> str:
    """A render as manifests that know nothing of Helm."""
    return PLAIN_HEAD + _OF_HELM.sub("", render)


def manifests(*files: Path) -> list[Manifest]:
    return [document for file in files for document in yaml.safe_load_all(file.read_text("utf-8")) if document]


def of_kind(found: list[Manifest], kind: str) -> list[Manifest]:
    return [manifest for manifest in found if manifest["kind"] == kind]


def the(found: list[Manifest], kind: str) -> Manifest:
    (only,) = of_kind(found, kind)
    return only


def pod_of(found: list[Manifest]) -> Manifest:
    pod: Manifest = the(found, "StatefulSet")["spec"]["template"]["spec"]
    return pod


def configuration(found: list[Manifest]) -> str:
    """The text of vedette.yaml."""
    (text,) = [one["data"]["vedette.yaml"] for one in of_kind(found, "ConfigMap") if "vedette.yaml" in one["data"]]
    assert isinstance(text, str)
    return text


def restricted_breaches(pod: Manifest) -> list[str]:
    """What the Pod Security Standard *restricted* refuses in a pod, and what it allows but we do not.

    Source: kubernetes.io/docs/concepts/security/pod-security-standards.
    """
    context = pod.get("securityContext", {})
    breaches = [f"pod: {name}" for name in ("hostNetwork", "hostPID", "hostIPC") if pod.get(name)]
    allowed = {"name", "configMap", "emptyDir", "secret", "projected", "persistentVolumeClaim", "downwardAPI", "csi"}
    breaches += [f"volume {volume['name']}" for volume in pod.get("volumes", []) if set(volume) - allowed]
    if pod.get("automountServiceAccountToken") is not False:
        breaches.append("pod: automountServiceAccountToken")
    for container in (*pod.get("initContainers", []), *pod["containers"]):
        own = {**context, **container.get("securityContext", {})}
        wanted = {
            "runAsNonRoot": own.get("runAsNonRoot") is True,
            "runAsUser": own.get("runAsUser", 0) > 0,
            "seccompProfile": own.get("seccompProfile", {}).get("type") in {"RuntimeDefault", "Localhost"},
            "allowPrivilegeEscalation": own.get("allowPrivilegeEscalation") is False,
            "capabilities": own.get("capabilities") == {"drop": ["ALL"]},
            "privileged": not own.get("privileged"),
            "readOnlyRootFilesystem": own.get("readOnlyRootFilesystem") is True,
            "hostPort": not any("hostPort" in port for port in container.get("ports", [])),
        }
        breaches += [f"{container['name']}: {name}" for name, held in wanted.items() if not held]
    return breaches
