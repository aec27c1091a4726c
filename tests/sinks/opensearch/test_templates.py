"""The mappings name fields that documents have, and none that a document could add."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson
import pytest

from sinks.opensearch import OpenSearchSettings
from sinks.opensearch.templates import FIELDS_MAX, LOGS, TEMPLATE_VERSION, Standing, standing, template
from vedette.schema.event import Facts

GOLDEN = Path(__file__).parents[2] / "vedette/pipeline/document/golden"
NOT_IN_GOLDEN = {"finding_info.attacks.sub_technique", "resources.uid", "resources.version", "metadata.version"}


def fields(properties: dict[str, Any], place: str = "") -> Iterator[str]:
    for name, mapping in properties.items():
        if "properties" in mapping:
            yield from fields(mapping["properties"], f"{place}{name}.")
        else:
            yield place + name


def paths(value: Any, place: str = "") -> Iterator[str]:
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from paths(inner, f"{place}.{name}" if place else name)
    elif isinstance(value, list):
        for inner in value:
            yield from paths(inner, place)
        yield place
    else:
        yield place


def mapped(log: str) -> dict[str, Any]:
    found: dict[str, Any] = template(log, OpenSearchSettings())["template"]["mappings"]
    return found


def test_every_mapped_field_is_one_of_an_alert() -> None:
    there = {path for file in GOLDEN.glob("*.json") for path in paths(orjson.loads(file.read_bytes()))}
    there |= {f"unmapped.facts.{name}" for name in Facts.__struct_fields__}
    wanted = set(fields(mapped("alerts")["properties"])) - {"@timestamp"}
    missing = wanted - there
    assert {path for path in missing if not any(path.startswith(known) for known in NOT_IN_GOLDEN)} == set()


@pytest.mark.parametrize("log", LOGS)
def test_nothing_is_added(log: str) -> None:
    mapping = mapped(log)
    assert mapping["dynamic"] is False
    assert b"dynamic" not in orjson.dumps(mapping["properties"])
    assert len(list(fields(mapping["properties"]))) < FIELDS_MAX / 2
    for keyword in _leaves(mapping["properties"]):
        assert keyword["type"] != "keyword" or keyword["ignore_above"] * 3 < 32_766


def _leaves(properties: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for mapping in properties.values():
        yield from _leaves(mapping["properties"]) if "properties" in mapping else [mapping]
        yield from mapping.get("fields", {}).values()


def test_replicas() -> None:
    assert template("alerts", OpenSearchSettings())["template"]["settings"]["index"]["auto_expand_replicas"] == "0-1"
    index = template("alerts", OpenSearchSettings(replicas=2, shards=3))["template"]["settings"]["index"]
    assert (index["number_of_shards"], index["number_of_replicas"]) == (3, 2)


@pytest.mark.parametrize(
    ("mark", "expected"),
    [
        (None, Standing.FOREIGN),
        ({"version": TEMPLATE_VERSION + 1, "digest": "x"}, Standing.NEWER),
        ({"version": TEMPLATE_VERSION, "digest": "x"}, Standing.OLDER),
        ({"version": TEMPLATE_VERSION - 1}, Standing.OLDER),
        ("same", Standing.SAME),
    ],
    ids=str,
)
def test_standing(mark: Any, expected: Standing) -> None:
    wanted = template("alerts", OpenSearchSettings())
    kept = wanted["_meta"] if mark == "same" else {"vedette": mark} if mark else {"managed": True}
    answer = {"index_templates": [{"name": "vedette-alerts", "index_template": {"_meta": kept}}]}
    assert standing(orjson.dumps(answer), wanted) is expected


@pytest.mark.parametrize("body", [b"", b"[]", b"{}", b"\xff", b'{"index_templates":[{}]}'])
def test_what_is_no_template(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011 - msgspec's and UnicodeDecodeError are both
        standing(body, template("alerts", OpenSearchSettings()))


def test_settings_change_the_digest() -> None:
    one, other = template("alerts", OpenSearchSettings()), template("alerts", OpenSearchSettings(shards=2))
    assert one["_meta"] != other["_meta"]
    assert one == template("alerts", OpenSearchSettings())
