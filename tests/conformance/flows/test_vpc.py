"""Flow log lines of AWS, alone and in CloudWatch's envelope, against the columns that others read in them."""

import json
from typing import Any, Final

import pytest

from collector.decoders import DECODERS
from tests.conformance.report import Record, judge, rows, vectors
from vedette.schema.errors import DecodeError
from vedette.schema.event import Nature

VPC: Final = DECODERS["vpc_flow"]
SET: Final = "flows/vpcflow"
PINNED: dict[str, str] = {}


def wrong(row: dict[str, Any]) -> str:
    """Read a line by its format, or below it as a header; "" if it is as expected."""
    order = row["format"] or ""
    body = f"{order}\n{row['line']}\n" if row.get("header_in_file") else f"{row['line']}\n"
    [piece] = VPC.split(body.encode(), "" if row.get("header_in_file") else order)
    try:
        doc = VPC.decode(piece.items[0], piece.context)
    except DecodeError as refused:
        return "" if row["expect_error"] else str(refused)
    if row["expect_error"]:
        return "taken"
    expected = {name: value for name, value in row["expected"].items() if value is not None}
    if doc != expected:
        return f"{doc.items() ^ expected.items()}"
    return "" if (VPC.nature(doc) is Nature.EVENT) == row["is_flow"] else "flow or not"


def test_aws_lines(record_property: Record) -> None:
    results = {row["id"]: wrong(row) for row in rows(f"{SET}/aws.jsonl") if row["provider"] == "aws"}
    others = [row for path in vectors(SET).glob("*.jsonl") if path.stem != "aws" for row in rows(f"{SET}/{path.name}")]
    left_out = {"of clouds whose flow logs no decoder reads": len(others)}
    judge(f"{SET}/aws", results, PINNED, record_property, left_out)


def test_cloudwatch_envelopes(record_property: Record) -> None:
    paths = sorted(vectors(SET).glob("aws_cloudwatch*.json"))
    if not paths:
        pytest.skip("this part of the vectors has no envelope")
    results: dict[str, str] = {}
    for path in paths:
        body = path.read_bytes()
        wanted = [event["message"].encode() for event in json.loads(body)["logEvents"]]
        [piece] = VPC.split(body)
        same = [VPC.decode(item, "") for item in piece.items] == [VPC.decode(line, "") for line in wanted]
        results[path.stem] = "" if same else "other records than lines"
    judge(f"{SET}/cloudwatch", results, PINNED, record_property)
