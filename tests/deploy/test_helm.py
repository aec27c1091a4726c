"""The chart through Helm itself: golden renders, its linter, and values that it refuses."""

from __future__ import annotations

import os

import pytest
import yaml

from .go_tools import helm, template
from .rendered import CHART, FULL_VALUES, GOLDEN, configuration, pod_of

pytestmark = [pytest.mark.server, pytest.mark.timeout(1200)]  # the first run builds Helm

SETS = {"default": [], "full": ["--values", FULL_VALUES]}


@pytest.mark.parametrize("name", SETS)
def test_the_render_is_the_golden_one(name: str) -> None:
    """Rewrite with VEDETTE_GOLDEN=update and review the difference."""
    done = template(*SETS[name])
    assert done.returncode == 0, done.stderr
    file = GOLDEN / f"{name}.yaml"
    if os.environ.get("VEDETTE_GOLDEN") == "update":
        file.write_text(done.stdout, "utf-8")
    assert done.stdout == file.read_text("utf-8")


def test_the_linter_finds_nothing() -> None:
    done = helm("lint", "--strict", CHART, "--values", FULL_VALUES)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        pytest.param(["--set", "replicas=2"], "'replicas' not allowed", id="unknown value"),
        pytest.param(["--set", "config.metrics.listen=:1"], "/config/metrics/listen", id="another port"),
        pytest.param(["--set", "terminationGracePeriodSeconds=5"], "/terminationGracePeriodSeconds", id="short stop"),
        pytest.param(["--kube-version", "1.26.0"], "requires kubeVersion", id="old Kubernetes"),
    ],
)
def test_wrong_values_are_refused(arguments: list[str], told: str) -> None:
    done = template(*arguments)
    assert done.returncode != 0
    assert told in done.stderr


def test_everything_optional_can_be_left_out() -> None:
    done = template("--set", "networkPolicy.enabled=false,podDisruptionBudget.enabled=false")
    kinds = {document["kind"] for document in yaml.safe_load_all(done.stdout)}
    assert kinds == {"ConfigMap", "Service", "ServiceAccount", "StatefulSet"}


def test_whole_numbers_stay_whole() -> None:
    # Helm reads numbers as floating-point ones; 53687091200 must not come out as 5.36870912e+10.
    done = template("--set", "config.journal.keep_bytes=53687091200")
    found = list(yaml.safe_load_all(done.stdout))
    assert "keep_bytes: 53687091200\n" in configuration(found)


def test_another_name_is_used_throughout() -> None:
    done = template("--set", "fullnameOverride=sentry")
    found = list(yaml.safe_load_all(done.stdout))
    assert {one["metadata"]["name"].split("-")[0] for one in found} == {"sentry"}
    assert pod_of(found)["serviceAccountName"] == "sentry"
    changed = template("--set", "config.cluster=other")
    checksums = [
        one["spec"]["template"]["metadata"]["annotations"]["checksum/config"]
        for one in (*found, *yaml.safe_load_all(changed.stdout))
        if one["kind"] == "StatefulSet"
    ]
    assert len(set(checksums)) == 2, "a changed configuration restarts the pod"
