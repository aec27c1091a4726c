"""The shipped audit policy: which shipped rules it leaves blind, and what it never logs."""

from __future__ import annotations

from typing import Any, Final

import msgspec
import pytest
import yaml

from detectors.behaviour.definition import Definition
from detectors.rule import AnyRule
from detectors.testing.case import GivenEvent, RuleTest
from detectors.testing.checking import Checker
from vedette.app.workbench.rules_at_hand import open_shipped

from .audit_policy import LEVELS, Event, logged
from .rendered import DEPLOY

POLICY: Final[dict[str, Any]] = yaml.safe_load(
    (DEPLOY / "connect" / "kube-apiserver" / "audit-policy.yaml").read_text("utf-8")
)
BLIND: Final = {
    # The content of a Secret would have to be logged, of every Secret. Its creation is still found by other rules.
    ("Permanent Service Account Token Created", "by hand"),
    # Answers to status updates are some 10 kB for each node each five minutes; its registration shows the version, too.
    ("Node Runs A Kubelet That Is No Longer Maintained", "it says how it is"),
}
"""Tests of shipped rules that no longer match under the policy: what it leaves unseen, on purpose."""


@pytest.fixture(scope="module")
def shipped() -> tuple[Checker, list[AnyRule]]:
    return open_shipped()


def through(policy: dict[str, Any], test: RuleTest) -> RuleTest:
    """A test with its audit events as the policy logs them."""
    seen = [
        given if event is given.event else msgspec.structs.replace(given, event=event)
        for given in test.events
        if (event := logged(policy, given.event) if is_audit(given) else given.event) is not None
    ]
    return msgspec.structs.replace(test, events=tuple(seen))


def is_audit(given: GivenEvent) -> bool:
    return given.format == "kube_audit" or (not given.format and "requestURI" in given.event)


def blind(policy: dict[str, Any], checker: Checker, rules: list[AnyRule]) -> set[tuple[str, str]]:
    """Which tests that match, of which rules, match no longer; those of behaviour look at no audit events."""
    return {
        (rule.info.title, test.name)
        for rule in rules
        if not isinstance(rule, Definition)
        for test in checker.tests(rule)
        if test.match and not checker.bench.passes(rule, through(policy, test))
    }


def test_the_shipped_rules_see_what_they_need(shipped: tuple[Checker, list[AnyRule]]) -> None:
    assert blind(POLICY, *shipped) == BLIND


def test_a_policy_of_metadata_alone_would_not_do(shipped: tuple[Checker, list[AnyRule]]) -> None:
    assert len(blind({"rules": [{"level": "Metadata"}]}, *shipped)) > 100


@pytest.mark.parametrize(
    ("target", "user", "verb"),
    [
        pytest.param({"resource": "secrets", "namespace": "shop"}, {"username": "ann"}, "create", id="Secret"),
        pytest.param({"resource": "secrets", "namespace": "shop"}, {"username": "ann"}, "patch", id="patched Secret"),
        pytest.param(
            {"resource": "serviceaccounts", "subresource": "token"}, {"username": "ann"}, "create", id="new token"
        ),
        pytest.param(
            {"resource": "tokenreviews", "apiGroup": "authentication.k8s.io"},
            {"username": "ann"},
            "create",
            id="review",
        ),
    ],
)
def test_no_secret_gets_into_the_log(target: dict[str, str], user: dict[str, str], verb: str) -> None:
    event = {
        "stage": "ResponseComplete",
        "verb": verb,
        "user": user,
        "objectRef": target,
        "responseObject": {"token": "x"},
    }
    if target["resource"] != "serviceaccounts":  # what is asked of a token is no secret
        event["requestObject"] = {"data": "x"}
    found = logged(POLICY, event)
    assert found is not None
    assert not {"requestObject", "responseObject"} & set(found)


EXEC: Final[Event] = {
    "level": "RequestResponse",
    "stage": "ResponseStarted",
    "verb": "get",
    "user": {"username": "ann", "groups": ["developers"]},
    "objectRef": {"resource": "pods", "subresource": "exec", "namespace": "shop"},
    "requestURI": "/api/v1/namespaces/shop/pods/a/exec?command=id",
    "requestObject": {},
    "responseObject": {},
}


@pytest.mark.parametrize(
    ("rule", "level"),
    [
        pytest.param({"users": ["ann"]}, "Request", id="user"),
        pytest.param({"users": ["bob"]}, None, id="another user"),
        pytest.param({"userGroups": ["developers"]}, "Request", id="group"),
        pytest.param({"verbs": ["create"]}, None, id="another verb"),
        pytest.param(
            {"resources": [{"group": "", "resources": ["pods"]}]}, None, id="a resource is not its subresources"
        ),
        pytest.param({"resources": [{"group": "", "resources": ["pods/exec"]}]}, "Request", id="subresource"),
        pytest.param({"resources": [{"group": "", "resources": ["pods/*"]}]}, "Request", id="all subresources"),
        pytest.param({"resources": [{"group": "", "resources": ["*/exec"]}]}, "Request", id="subresource of anything"),
        pytest.param({"resources": [{"group": "apps"}]}, None, id="another group"),
        pytest.param({"resources": [{"group": ""}]}, "Request", id="whole group"),
        pytest.param({"namespaces": ["shop"]}, "Request", id="namespace"),
        pytest.param({"namespaces": ["bank"]}, None, id="another namespace"),
        pytest.param({"nonResourceURLs": ["/api*"]}, None, id="URLs are for requests of no resource"),
        pytest.param({"omitStages": ["ResponseStarted"]}, None, id="stage"),
    ],
)
def test_a_policy_is_applied_as_an_api_server_does(rule: dict[str, Any], level: str | None) -> None:
    found = logged({"rules": [{"level": "Request", **rule}]}, EXEC)
    assert (found and found["level"]) == level
    assert found is None or ("requestObject" in found and "responseObject" not in found)


def test_each_rule_of_the_policy_has_a_level_and_the_last_one_fits_all() -> None:
    assert {rule["level"] for rule in POLICY["rules"]} <= set(LEVELS)
    assert POLICY["rules"][-1] == {"level": "Metadata"}
    assert POLICY["omitManagedFields"] is True
    assert POLICY["omitStages"] == ["RequestReceived"], "401 answers exist as ResponseStarted alone"
