"""docs/deploy.md: the values in it work, and what it names is there."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import jsonschema
import pytest
import yaml

from vedette.app.config_check import check_config
from vedette.app.config_file import load_config
from vedette.app.metrics.endpoint import SILENT_S

from .go_tools import template
from .rendered import CHART, PORTS, ROOT, configuration, of_kind, pod_of
from .senders import CONNECT
from .test_manifests import DEFAULTS, SCHEMA, merged

TEXT: Final = (ROOT / "docs" / "deploy.md").read_text("utf-8")
FENCES: Final = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", TEXT, re.DOTALL | re.MULTILINE))


def test_the_values_are_known() -> None:
    jsonschema.validate(merged(DEFAULTS, yaml.safe_load(FENCES["values.yaml"])), SCHEMA)


@pytest.mark.server
@pytest.mark.timeout(1200)  # the first run builds Helm
def test_the_values_make_a_configuration_that_vedette_takes(tmp_path: Path) -> None:
    (tmp_path / "values.yaml").write_text(FENCES["values.yaml"])
    assert FENCES["install"].split()[:4] == ["helm", "install", "vedette", str(CHART.relative_to(ROOT))]
    done = template("--values", tmp_path / "values.yaml")
    assert done.returncode == 0, done.stderr
    found = list(yaml.safe_load_all(done.stdout))
    (rules,) = [one["data"] for one in of_kind(found, "ConfigMap") if one["metadata"]["name"] == "vedette-rules"]
    for name, text in rules.items():
        (tmp_path / name).write_text(text)
    (tmp_path / "vedette.yaml").write_text(configuration(found).replace("/etc/vedette/rules", str(tmp_path)))
    assert check_config(load_config(tmp_path / "vedette.yaml")).rules > 50


def test_all_that_it_names_is_there() -> None:
    named = re.findall(r"`((?:deploy|tests)/[\w./-]+)`|-f (deploy/[\w./-]+)", TEXT)
    assert len(named) > 10
    assert not [path for pair in named for path in pair if path and not (ROOT / path).exists()]
    assert not [link for link in re.findall(r"\]\(([\w./-]+)\)", TEXT) if not (ROOT / "docs" / link).exists()]
    unnamed = [file for file in CONNECT.rglob("*.*") if file.is_file() and str(file.relative_to(ROOT)) not in TEXT]
    assert unnamed == []


def test_its_numbers_are_those_of_the_manifests() -> None:
    pod = pod_of(list(yaml.safe_load_all((ROOT / "deploy/kubernetes/vedette.yaml").read_text("utf-8"))))
    assert f"the pod is given {pod['terminationGracePeriodSeconds']}" in TEXT
    live, start = (pod["containers"][0][f"{name}Probe"] for name in ("liveness", "startup"))
    assert (live["periodSeconds"] * live["failureThreshold"], "after two minutes" in TEXT) == (120, True)
    assert (start["periodSeconds"] * start["failureThreshold"], "allows ten minutes" in TEXT) == (600, True)
    assert f"within {SILENT_S:.0f} seconds" in TEXT
    assert all(str(port) in TEXT for port in PORTS.values())
