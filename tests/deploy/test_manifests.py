"""What is committed for clusters: manifests that a strict cluster admits, values that their schema knows, one story."""

from __future__ import annotations

import copy
import json
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import jsonschema
import pytest
import yaml

from collector.sources.http.source import DRAIN_S
from vedette.app.agent import DELIVERY_STOP_S, DETECT_STOP_S, DISK_STOP_S
from vedette.app.config_check import check_config
from vedette.app.config_file import load_config
from vedette.app.metrics.server import STOP_S

from . import rendered
from .rendered import (
    CHART,
    DEPLOY,
    FULL_VALUES,
    GOLDEN,
    PLAIN,
    PORTS,
    Manifest,
    configuration,
    manifests,
    of_kind,
    pod_of,
    restricted_breaches,
    the,
)

SETS: Final = {
    "plain": (DEPLOY / "kubernetes" / "namespace.yaml", PLAIN),
    "default": (GOLDEN / "default.yaml",),
    "full": (GOLDEN / "full.yaml",),
}
SCHEMA: Final = json.loads((CHART / "values.schema.json").read_text("utf-8"))
GIB: Final = 1024**3
STORE_BYTES: Final = 2 * GIB
"""About what `sinks.<name>.store.keep_alerts` comes to (docs/configuration.md)."""


@pytest.fixture(params=SETS)
def found(request: pytest.FixtureRequest) -> list[Manifest]:
    return manifests(*SETS[request.param])


def values(file: Path) -> dict[str, Any]:
    read: dict[str, Any] = yaml.safe_load(file.read_text("utf-8"))
    return read


# --- what a strict cluster asks ---------------------------------------------------------------------------------------
def test_the_pod_is_admitted_where_only_restricted_pods_are(found: list[Manifest]) -> None:
    assert restricted_breaches(pod_of(found)) == []


@pytest.mark.parametrize(
    ("spoil", "breach"),
    [
        pytest.param(lambda pod: pod.update(hostPID=True), "pod: hostPID", id="host namespace"),
        pytest.param(lambda pod: pod["securityContext"].pop("seccompProfile"), "vedette: seccompProfile", id="seccomp"),
        pytest.param(lambda pod: pod["securityContext"].update(runAsUser=0), "vedette: runAsUser", id="root"),
        pytest.param(
            lambda pod: pod.pop("automountServiceAccountToken"), "pod: automountServiceAccountToken", id="token"
        ),
        pytest.param(
            lambda pod: pod["volumes"].append({"name": "host", "hostPath": {"path": "/"}}),
            "volume host",
            id="host path",
        ),
        pytest.param(
            lambda pod: pod["containers"][0]["securityContext"].pop("capabilities"),
            "vedette: capabilities",
            id="capabilities",
        ),
        pytest.param(
            lambda pod: pod["containers"][0]["securityContext"].update(readOnlyRootFilesystem=False),
            "vedette: readOnlyRootFilesystem",
            id="writable root",
        ),
    ],
)
def test_the_check_for_restricted_pods_can_fail(spoil: Callable[[Manifest], object], breach: str) -> None:
    pod = copy.deepcopy(pod_of(manifests(PLAIN)))
    spoil(pod)
    assert restricted_breaches(pod) == [breach]


def test_the_namespace_enforces_restricted() -> None:
    (namespace,) = of_kind(manifests(*SETS["plain"]), "Namespace")
    labels = namespace["metadata"]["labels"]
    assert labels["pod-security.kubernetes.io/enforce"] == "restricted"
    assert {one["metadata"]["namespace"] for one in manifests(PLAIN)} == {namespace["metadata"]["name"]}


def test_nobody_gets_a_token_of_the_api_server(found: list[Manifest]) -> None:
    assert the(found, "ServiceAccount")["automountServiceAccountToken"] is False
    assert pod_of(found)["serviceAccountName"] == the(found, "ServiceAccount")["metadata"]["name"]
    assert not [one for one in found if "Role" in one["kind"]], "Vedette asks nothing of the API server"


def test_environment_of_other_services_stays_out(found: list[Manifest]) -> None:
    # A Service named vedette-config would else set VEDETTE_CONFIG_PORT and the like.
    assert pod_of(found)["enableServiceLinks"] is False


def test_memory_is_bounded_and_requested(found: list[Manifest]) -> None:
    resources = pod_of(found)["containers"][0]["resources"]
    assert set(resources["requests"]) == {"cpu", "memory"}
    assert "memory" in resources["limits"]


# --- parts that must fit each other -----------------------------------------------------------------------------------
def test_ports_probes_services_and_configuration_agree(found: list[Manifest]) -> None:
    (container,) = pod_of(found)["containers"]
    assert {port["name"]: port["containerPort"] for port in container["ports"]} == PORTS
    paths = {name: container[name]["httpGet"]["path"] for name in container if name.endswith("Probe")}
    assert paths == {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}
    assert {container[name]["httpGet"]["port"] for name in paths} == {"metrics"}
    settings = yaml.safe_load(configuration(found))
    listens = {name: settings["sources"][name]["http"]["listen"] for name in ("falco", "audit")}
    listens["metrics"] = settings["metrics"]["listen"]
    assert {name: int(listen.rpartition(":")[2]) for name, listen in listens.items()} == PORTS
    schemes = {container[name]["httpGet"]["scheme"] for name in paths}
    assert schemes == {"HTTPS" if "tls" in settings["metrics"] else "HTTP"}
    for service in of_kind(found, "Service"):
        (port,) = service["spec"]["ports"]
        assert (port["name"], port["port"], port["targetPort"]) == (port["name"], PORTS[port["name"]], port["name"])
        assert service["spec"]["publishNotReadyAddresses"] is True
    assert {port["name"] for service in of_kind(found, "Service") for port in service["spec"]["ports"]} == set(PORTS)


def test_all_that_selects_the_pod_does(found: list[Manifest]) -> None:
    stateful = the(found, "StatefulSet")
    labels = stateful["spec"]["template"]["metadata"]["labels"].items()
    selectors = [one["spec"]["selector"] for one in of_kind(found, "Service")]
    selectors += [stateful["spec"]["selector"]["matchLabels"]]
    selectors += [one["spec"]["podSelector"]["matchLabels"] for one in of_kind(found, "NetworkPolicy")]
    selectors += [one["spec"]["selector"]["matchLabels"] for one in of_kind(found, "PodDisruptionBudget")]
    assert len(selectors) == 6
    assert all(selector.items() <= labels and len(selector) == 2 for selector in selectors)
    (headless,) = [one for one in of_kind(found, "Service") if one["spec"].get("clusterIP") == "None"]
    assert stateful["spec"]["serviceName"] == headless["metadata"]["name"]
    for monitor in of_kind(found, "ServiceMonitor"):
        assert monitor["spec"]["selector"]["matchLabels"].items() <= headless["metadata"]["labels"].items()
        assert [end["port"] for end in monitor["spec"]["endpoints"]] == ["metrics"]


def test_each_mount_has_its_volume(found: list[Manifest]) -> None:
    pod, claims = pod_of(found), the(found, "StatefulSet")["spec"]["volumeClaimTemplates"]
    volumes = {one["name"] for one in pod["volumes"]} | {one["metadata"]["name"] for one in claims}
    assert {mount["name"] for mount in pod["containers"][0]["volumeMounts"]} == volumes
    maps = {one["metadata"]["name"] for one in of_kind(found, "ConfigMap")}
    assert {one["configMap"]["name"] for one in pod["volumes"] if "configMap" in one} == maps


def test_files_that_the_configuration_names_are_mounted(found: list[Manifest]) -> None:
    mounts = {mount["mountPath"] for mount in pod_of(found)["containers"][0]["volumeMounts"]}
    text = configuration(found)
    named = set(re.findall(r"/etc/vedette/[\w.-]+", text))
    assert named <= mounts
    rules = [one["data"] for one in of_kind(found, "ConfigMap") if one["metadata"]["name"].endswith("-rules")]
    assert set(yaml.safe_load(text)["rules"]["paths"]) == {f"/etc/vedette/rules/{name}" for name in rules[0]}


def test_vedette_takes_the_configuration(
    found: list[Manifest], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RT_PASSWORD", "from the Secret")
    (tmp_path / "rules").mkdir()
    for one in of_kind(found, "ConfigMap"):
        for name, text in one["data"].items():
            folder = tmp_path / "rules" if one["metadata"]["name"].endswith("-rules") else tmp_path
            (folder / name).write_text(text.replace("/etc/vedette/rules", str(tmp_path / "rules")))
    config = load_config(tmp_path / "vedette.yaml")
    assert str(config.data_dir) == "/var/lib/vedette"
    assert check_config(config).rules > 50


def test_the_disk_holds_what_is_kept(found: list[Manifest], monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RT_PASSWORD", "from the Secret")
    (tmp_path / "vedette.yaml").write_text(configuration(found))
    config = load_config(tmp_path / "vedette.yaml")
    claim = the(found, "StatefulSet")["spec"]["volumeClaimTemplates"][0]["spec"]["resources"]["requests"]["storage"]
    waiting = sum(entry.backlog_bytes_max for entry in config.sinks.values())
    assert int(claim.removesuffix("Gi")) * GIB > config.journal.keep_bytes + STORE_BYTES + waiting


def test_a_stop_has_the_time_that_it_may_take(found: list[Manifest]) -> None:
    longest_s = DRAIN_S + DISK_STOP_S + DETECT_STOP_S + DELIVERY_STOP_S + STOP_S
    assert pod_of(found)["terminationGracePeriodSeconds"] > longest_s
    assert f"up to {longest_s:.0f} s" in SCHEMA["properties"]["terminationGracePeriodSeconds"]["description"]


# --- the network ------------------------------------------------------------------------------------------------------
def test_the_network_policy_denies_by_default(found: list[Manifest]) -> None:
    policy = the(found, "NetworkPolicy")["spec"]
    assert policy["policyTypes"] == ["Ingress", "Egress"]
    assert isinstance(policy["egress"], list)
    for rule in policy["ingress"]:
        assert rule["from"], "an empty list would let everybody in"
        (port,) = rule["ports"]
        assert port["port"] in PORTS.values()


def test_by_default_no_api_server_and_no_sink_is_reached() -> None:
    policy = the(manifests(PLAIN), "NetworkPolicy")["spec"]
    assert policy["egress"] == []
    assert {port["port"] for rule in policy["ingress"] for port in rule["ports"]} == {2801, 9466}


# --- values and schema ------------------------------------------------------------------------------------------------
def merged(base: dict[str, Any], over: dict[str, Any]) -> dict[str, Any]:
    """As Helm merges values: maps key by key, all else replaced."""
    both = {key: merged(base[key], value) for key, value in over.items() if _maps(base.get(key), value)}
    return {**base, **over, **both}


def _maps(*values: object) -> bool:
    return all(isinstance(value, dict) for value in values)


DEFAULTS: Final = values(CHART / "values.yaml")


@pytest.mark.parametrize("file", [CHART / "values.yaml", FULL_VALUES], ids=["default", "full"])
def test_values_are_what_the_schema_says(file: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    jsonschema.validate(merged(DEFAULTS, values(file)), SCHEMA)


def test_the_schema_knows_each_value() -> None:
    assert set(SCHEMA["properties"]) - {"global"} == set(DEFAULTS)


@pytest.mark.parametrize(
    ("over", "where"),
    [
        pytest.param({"replicas": 2}, "", id="unknown value"),
        pytest.param({"image": {"digest": "latest"}}, "image.digest", id="digest"),
        pytest.param({"config": {"metrics": {"listen": ":9999"}}}, "config.metrics.listen", id="another port"),
        pytest.param({"config": {"metrics": {"listen": ""}}}, "config.metrics.listen", id="no probes"),
        pytest.param({"config": {"metrics": {"listen": "127.0.0.1:9466"}}}, "config.metrics.listen", id="loopback"),
        pytest.param({"config": {"data_dir": "/tmp"}}, "config", id="another data folder"),
        pytest.param(
            {"config": {"metrics": {"tls": {"client_ca_file": "/ca"}}}}, "config.metrics.tls", id="a kubelet has no key"
        ),
        pytest.param({"rules": {"../x.yml": ""}}, "rules", id="name of a rule file"),
        pytest.param({"terminationGracePeriodSeconds": 30}, "terminationGracePeriodSeconds", id="too short a stop"),
        pytest.param(
            {"persistence": {"accessModes": ["ReadWriteMany"]}}, "persistence.accessModes.0", id="shared disk"
        ),
    ],
)
def test_wrong_values_are_refused_where_they_stand(over: dict[str, Any], where: str) -> None:
    errors = list(jsonschema.Draft202012Validator(SCHEMA).iter_errors(merged(DEFAULTS, over)))
    assert [".".join(map(str, error.absolute_path)) for error in errors] == [where]


# --- what is made from what -------------------------------------------------------------------------------------------
def test_the_plain_manifests_are_the_default_render() -> None:
    """Rewrite with VEDETTE_GOLDEN=update; the golden render itself is checked against Helm in test_helm.py."""
    expected = rendered.plain((GOLDEN / "default.yaml").read_text("utf-8"))
    if os.environ.get("VEDETTE_GOLDEN") == "update":
        PLAIN.write_text(expected, "utf-8")
    assert PLAIN.read_text("utf-8") == expected
    assert "Helm" not in expected.removeprefix(rendered.PLAIN_HEAD)


def test_the_chart_has_the_version_of_the_project() -> None:
    version = re.search(r'^version = "(.+)"$', (rendered.ROOT / "pyproject.toml").read_text("utf-8"), re.MULTILINE)
    assert version is not None
    chart = values(CHART / "Chart.yaml")
    assert (chart["version"], chart["appVersion"]) == (version[1], version[1])
