"""docs/sources/falco-grpc.md: its settings are settings, and its numbers are those of the code."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Final

import pytest
import yaml

from collector.sources.falco_grpc.connection import MESSAGE_BYTES_MAX, WINDOW_BYTES, Reason
from collector.sources.falco_grpc.hold import RECORDS_BYTES_MAX, RECORDS_MAX
from collector.sources.falco_grpc.settings import FalcoGrpcSettings
from collector.sources.falco_grpc.source import LAST_S, RETRY_S_MAX, STOP_S
from vedette.app.config_file import parse_config
from vedette.schema.limits import ITEM_BYTES_MAX, KIB, MIB

PAGE: Final = (Path(__file__).parents[4] / "docs/sources/falco-grpc.md").read_text("utf-8")
BLOCKS: Final[dict[str, str]] = dict(re.findall(r"^```\w+ (\S+)\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE))


@pytest.mark.parametrize("name", ["vedette.yaml", "remote.yaml"])
def test_the_settings_are_settings(name: str, tmp_path: Path) -> None:
    config = parse_config(BLOCKS[name], name, environment={}, folder=tmp_path)
    assert {entry.kind for entry in config.sources.values()} == {"falco_grpc"}


def test_falco_listens_where_vedette_looks() -> None:
    (source,) = yaml.safe_load(BLOCKS["vedette.yaml"])["sources"].values()
    falco = yaml.safe_load(BLOCKS["falco.yaml"])
    assert falco["grpc"]["bind_address"] == source["falco_grpc"]["address"] == FalcoGrpcSettings().address
    assert falco["grpc"]["enabled"] is falco["grpc_output"]["enabled"] is True


def test_the_table_has_all_settings_and_their_defaults() -> None:
    rows = dict(re.findall(r"^\| (`\w+`(?:, `\w+`)*) \| (.*?) \|", PAGE, re.MULTILINE))
    told = {key: default for keys, default in rows.items() for key in re.findall(r"`(\w+)`", keys)}
    assert set(told) == set(FalcoGrpcSettings.model_fields)
    for key in ("address", "method", "poll_interval_s", "timeout_s"):
        value = FalcoGrpcSettings.model_fields[key].default
        assert told[key] == f"`{value:g}`" if isinstance(value, float) else f"`{value}`"


@pytest.mark.parametrize(
    "said",
    [
        f"{RECORDS_MAX:,} alerts ({RECORDS_BYTES_MAX // MIB} MiB)",
        f"fits into {WINDOW_BYTES // KIB} KiB",
        f"more than {MESSAGE_BYTES_MAX // MIB} MiB",
        f"more than {ITEM_BYTES_MAX // MIB} MiB as JSON",
        f"ten seconds at most{'' if RETRY_S_MAX == 10 else '?'}",
        f"within five seconds{'' if STOP_S == 5 else '?'}",
        f"for a second at most{'' if LAST_S == 1 else '?'}",
        *(f"`{reason}`" for reason in Reason),
    ],
)
def test_what_the_page_says(said: str) -> None:
    assert said in PAGE
