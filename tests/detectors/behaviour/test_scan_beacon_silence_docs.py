"""The pages of scans, beacons and silence: their examples load, and their tables are those of the settings."""

from __future__ import annotations

import re
from pathlib import Path

import msgspec
import pytest

from detectors.behaviour.loading import load_definitions
from detectors.behaviour.types import SETTINGS
from detectors.rule import RuleText
from vedette.schema.limits import SECOND_NS

PAGES = Path(__file__).parents[3] / "docs/rules/behaviour"
_UNITS_S = {"s": 1, "m": 60, "h": 3600, "d": 86_400}


@pytest.mark.parametrize("kind", ["scan", "beacon", "silence"])
def test_the_example_loads(kind: str) -> None:
    (example,) = re.findall(r"```yaml\n(.*?)```", _page(kind), re.DOTALL)
    loaded = load_definitions([RuleText("example.yml", example, "docs")], SETTINGS)
    assert loaded.errors == ()
    assert [found.type for found in loaded.definitions] == [kind]


@pytest.mark.parametrize("kind", ["scan", "beacon", "silence"])
def test_the_table_has_every_setting_with_its_default(kind: str) -> None:
    told = dict[str, str]()
    for names, defaults in re.findall(r"^\| (`[^|]+) \| ([^|]+) \| [^|]+ \|$", _page(kind), re.MULTILINE):
        told |= dict(zip(re.findall(r"`(\w+)`", names), defaults.strip("`").split(", "), strict=True))
    defaults = {field.name.removesuffix("_ns"): field.default for field in msgspec.structs.fields(SETTINGS[kind])}
    assert set(told) == set(defaults)
    for name, default in defaults.items():
        assert _value(told[name], default) == default, name


def _value(told: str, default: object) -> object:
    if isinstance(default, tuple):
        return tuple(told.strip("[]").split(", "))
    if isinstance(default, bool):
        return told == "true"
    if isinstance(default, float):
        return float(told)
    if isinstance(default, str):
        return "" if told == "any" else told
    length = re.fullmatch(r"(\d+)([smhd])", told)
    return int(told) if length is None else int(length[1]) * _UNITS_S[length[2]] * SECOND_NS


def _page(kind: str) -> str:
    return (PAGES / f"{kind}.md").read_text(encoding="utf-8")
