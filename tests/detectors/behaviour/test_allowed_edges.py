"""Allowed edges: what the list allows, what it does not, and what can't be told."""

from __future__ import annotations

from typing import Any

import msgspec
import pytest

from detectors.behaviour.watch import Watch
from detectors.loading import load_rules
from detectors.rule import RuleText
from vedette.schema.observation import Observation

TEXT = """
title: Only what is allowed
id: allowed
logsource: {product: vedette, category: connection}
detection: {all: {namespace|exists: true}, condition: all}
behaviour:
  type: allowed_edges
  allow:
    - {from: 'shop/*', to: data/postgres, ports: [5432, 5433]}
    - {from: '*/*', to: 'monitoring/*'}
    - {from: shop/checkout, to: outside, ports: [443]}
"""
CART: dict[str, Any] = {"kind": "connection", "namespace": "shop", "workload": "cart"}
POSTGRES: dict[str, Any] = {"peer": "10.0.0.9", "peer_namespace": "data", "peer_workload": "postgres"}
VENDOR: dict[str, Any] = {"peer": "198.51.100.7", "port": 443}


def watch_of(text: str = TEXT) -> Watch:
    loaded = load_rules([RuleText("a.yml", text, "a")])
    assert not loaded.errors
    watch = Watch()
    watch.use(loaded.definitions)
    return watch


@pytest.mark.parametrize(
    ("seen", "deviates"),
    [
        pytest.param(CART | POSTGRES | {"port": 5432}, False, id="the port that is allowed"),
        pytest.param(CART | POSTGRES | {"port": 22}, True, id="another port"),
        pytest.param(CART | POSTGRES | {"namespace": "pay", "port": 5432}, True, id="another namespace"),
        pytest.param(
            CART | POSTGRES | {"peer_namespace": "monitoring", "port": 9}, False, id="everybody may be monitored"
        ),
        pytest.param(CART | VENDOR, True, id="the outside is for one workload"),
        pytest.param(CART | VENDOR | {"workload": "checkout"}, False, id="which is this one"),
        pytest.param(CART | VENDOR | {"workload": "checkout", "port": 80}, True, id="on its port"),
        pytest.param(CART | {"peer": "10.0.0.77", "port": 80}, False, id="nobody knows who that is"),
        pytest.param(CART | POSTGRES | {"workload": "", "port": 22}, False, id="nobody knows who it was"),
        pytest.param(CART | POSTGRES | {"port": 22, "outcome": "deny"}, False, id="it was turned away"),
        pytest.param(
            CART | POSTGRES | {"workload": "*", "namespace": "x/shop", "port": 5432}, True, id="hostile names"
        ),
    ],
)
def test_edges(seen: dict[str, Any], *, deviates: bool) -> None:
    found = watch_of().observe(msgspec.convert(seen, Observation))
    assert bool(found) is deviates


def test_what_can_not_be_told_is_counted() -> None:
    watch = watch_of()
    watch.observe(msgspec.convert(CART | {"peer": "10.0.0.77", "port": 80}, Observation))
    assert list(watch.take_left_out()) == [("unresolved", "allowed", 1)]


def test_it_says_what_is_allowed_in_place_of_that() -> None:
    (found,) = watch_of().observe(msgspec.convert(CART | POSTGRES | {"port": 22}, Observation))
    assert found.normal == "shop/cart may talk to data/postgres [5432, 5433], monitoring/*"
    assert found.seen == "shop/cart talked to data/postgres port 22"
    assert found.group == (("namespace", "shop"), ("workload", "cart"), ("peer", "data/postgres"), ("port", "22"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        pytest.param("{from: shop, to: a/b}", "", id="no namespace and workload"),
        pytest.param("{from: a/b, to: a/b, ports: [0]}", "", id="no port"),
        pytest.param("{from: a/b, to: a/b, prots: [1]}", "prots", id="a typing error"),
        pytest.param("{from: a/b}", "to", id="half an edge"),
    ],
)
def test_bad_lines_are_refused(line: str, said: str) -> None:
    text = TEXT[: TEXT.index("    - {from")] + f"    - {line}\n"
    (error,) = load_rules([RuleText("a.yml", text, "a")]).errors
    assert said in str(error)
    assert str(error).startswith("a.yml:")
