"""VPC flow logs: headers and contexts, lines and objects, and what is refused."""

from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders import DECODERS
from collector.decoders.vpc_flow import DEFAULT_FIELDS, FIELDS, GATEWAY_FIELDS
from vedette.schema.errors import DecodeError
from vedette.schema.event import Facts, LogSource, Loss, Nature
from vedette.schema.limits import ITEM_BYTES_MAX
from vedette.schema.record import Piece

VPC = DECODERS["vpc_flow"]

LINE = b"2 123456789010 eni-1235b8ca 172.31.16.139 172.31.16.21 20641 22 6 20 4249 1418530010 1418530070 ACCEPT OK"
DOC: dict[str, Any] = {
    "version": 2,
    "account-id": "123456789010",
    "interface-id": "eni-1235b8ca",
    "srcaddr": "172.31.16.139",
    "dstaddr": "172.31.16.21",
    "srcport": 20641,
    "dstport": 22,
    "protocol": 6,
    "packets": 20,
    "bytes": 4249,
    "start": 1418530010,
    "end": 1418530070,
    "action": "ACCEPT",
    "log-status": "OK",
}
NODATA = b"2 123456789010 eni-1235b8ca - - - - - - - 1431280876 1431280934 - NODATA"
ECS = (
    "version srcaddr action ecs-cluster-arn ecs-cluster-name ecs-container-instance-arn ecs-container-instance-id "
    "ecs-container-id ecs-second-container-id ecs-service-name ecs-task-definition-arn ecs-task-arn ecs-task-id"
)
GATEWAY = (
    b"6 TransitGateway 1 tgw-1 tgw-attach-1 1 2 vpc-1 vpc-2 subnet-1 subnet-2 eni-1 eni-2 use1-az1 use1-az2 "
    b"tgw-attach-2 10.0.0.1 10.1.0.1 22 40000 6 3 240 5 6 OK IPv4 0 7 0 0 2 us-east-1 ingress S3 -"
)
GATEWAY_DOC: dict[str, Any] = {
    **dict(zip(GATEWAY_FIELDS.split(), GATEWAY.decode().split(), strict=True)),
    "version": 6,
    "srcport": 22,
    "dstport": 40000,
    "protocol": 6,
    "packets": 3,
    "bytes": 240,
    "start": 5,
    "end": 6,
    "packets-lost-no-route": 0,
    "packets-lost-blackhole": 7,
    "packets-lost-mtu-exceeded": 0,
    "packets-lost-ttl-expired": 0,
    "tcp-flags": 2,
}
del GATEWAY_DOC["pkt-dst-aws-service"]
GATEWAY_NODATA = b"6 TransitGateway 1 tgw-1 " + b"- " * 19 + b"5 6 NODATA" + b" -" * 10
V3 = "version vpc-id srcaddr dstaddr pkt-srcaddr pkt-dstaddr tcp-flags start end log-status"


def test_the_default_line() -> None:
    assert VPC.decode(LINE, "") == VPC.decode_all(LINE, DEFAULT_FIELDS) == DOC
    assert VPC.logsources == (LogSource("aws", "vpcflow"),)
    assert VPC.nature(DOC) is Nature.EVENT
    assert VPC.losses(DOC) == ()
    assert VPC.event_ids(DOC) == ()
    assert VPC.finding(DOC) is None
    assert VPC.time_ns(DOC) == 1418530070 * 10**9
    assert VPC.time_ns({"start": 7}) == 7 * 10**9


def test_every_field_of_ten_versions_is_known() -> None:
    assert len(FIELDS) == 42 + 18, "18 are those of transit gateways alone"
    assert FIELDS.issuperset(GATEWAY_FIELDS.split())


@pytest.mark.parametrize(
    ("body", "context", "expected"),
    [
        pytest.param(LINE, "", [Piece([LINE], "", 1)], id="one line"),
        pytest.param(LINE + b"\n" + NODATA + b"\n", "", [Piece([LINE, NODATA], "", 1)], id="two lines"),
        pytest.param(
            LINE + b"\r\n\r\n" + LINE, "", [Piece([LINE], "", 1), Piece([LINE], "", 3)], id="blank line, CRLF"
        ),
        pytest.param(DEFAULT_FIELDS.encode() + b"\n" + LINE, "", [Piece([LINE], DEFAULT_FIELDS, 2)], id="header"),
        pytest.param(
            b"\xef\xbb\xbf" + DEFAULT_FIELDS.encode() + b"\n" + LINE, "", [Piece([LINE], DEFAULT_FIELDS, 2)], id="mark"
        ),
        pytest.param(LINE, V3, [Piece([LINE], V3, 1)], id="configured, or from an earlier stretch"),
        pytest.param(
            LINE + b"\nversion srcaddr\n2 10.0.0.1\n\nversion dstaddr\n2 10.0.0.2",
            "",
            [
                Piece([LINE], "", 1),
                Piece([b"2 10.0.0.1"], "version srcaddr", 3),
                Piece([b"2 10.0.0.2"], "version dstaddr", 6),
            ],
            id="headers in between, as of joined files",
        ),
        pytest.param(V3.encode() + b"\n", "", [Piece([], V3, 1)], id="a header alone is carried on"),
        pytest.param(V3.encode() + b"\n", V3, [], id="the same header again"),
        pytest.param(
            LINE + b"\nversion srcaddr",
            "",
            [Piece([LINE], "", 1), Piece([], "version srcaddr", 1)],
            id="header at the end",
        ),
        pytest.param(
            b"account_id,srcaddr\n1,10.0.0.1", "", [Piece([b"1,10.0.0.1"], "account-id srcaddr", 2)], id="CSV"
        ),
        pytest.param(b'"account_id","srcaddr"\n', "", [Piece([], "account-id srcaddr", 1)], id="quoted CSV header"),
        pytest.param(
            b"${version} ${srcaddr}\n2 10.0.0.1", "", [Piece([b"2 10.0.0.1"], "version srcaddr", 2)], id="a format"
        ),
        pytest.param(
            b"version srcaddr dstaddr new-in-v11\n",
            "",
            [Piece([], "version srcaddr dstaddr new-in-v11", 1)],
            id="a new field",
        ),
        pytest.param(b"eni-1 start middle end\n", "", [Piece([b"eni-1 start middle end"], "", 1)], id="no header"),
        pytest.param(
            b'{"srcaddr":"a"}\n{"srcaddr":"b"}', "", [Piece([b'{"srcaddr":"a"}', b'{"srcaddr":"b"}'], "", 1)], id="JSON"
        ),
        pytest.param(b'[{"message":"x"}]', V3, [Piece([b'{"message":"x"}'], V3, 1)], id="JSON array"),
        pytest.param(b"", "", [], id="nothing"),
        pytest.param(
            b'{"messageType":"DATA_MESSAGE","logEvents":[{"message":"x"},{"message":"y"}]}',
            V3,
            [Piece([b'{"message":"x"}', b'{"message":"y"}'], V3, 1)],
            id="CloudWatch's envelope",
        ),
        pytest.param(
            b'[{"messageType":"DATA_MESSAGE","logEvents":[]},{"messageType":"CONTROL_MESSAGE","logEvents":[{}]}]',
            "",
            [Piece([], "", 1)],
            id="envelopes without a record",
        ),
        pytest.param(
            b'{"message":"x","logEvents":7}', "", [Piece([b'{"message":"x","logEvents":7}'], "", 1)], id="no envelope"
        ),
        pytest.param(
            b'{"logEvents":[{"message":"x"}', "", [Piece([b'{"logEvents":[{"message":"x"}'], "", 1)], id="cut off"
        ),
        pytest.param(GATEWAY_FIELDS.encode() + b"\n6 T", "", [Piece([b"6 T"], GATEWAY_FIELDS, 2)], id="version 6"),
    ],
)
def test_split(body: bytes, context: str, expected: list[Piece]) -> None:
    assert VPC.split(body, context) == expected


def test_numbers_go_on_from_the_first_record() -> None:
    assert [piece.record for piece in VPC.split(b"version srcaddr\n2 a\n\n2 b", record=41)] == [42, 44]


@pytest.mark.parametrize(
    ("payload", "context", "reason"),
    [
        pytest.param(LINE + b" 1", "", "wrong number of columns", id="a column too many"),
        pytest.param(LINE[:-3], "", "wrong number of columns", id="cut off"),
        pytest.param(GATEWAY[:-2], "", "wrong number of columns", id="a gateway's, cut off"),
        pytest.param(LINE, V3, "wrong number of columns", id="another format"),
        pytest.param(LINE.replace(b" 22 ", b" ssh "), "", "not a number", id="no port"),
        pytest.param(LINE.replace(b" 22 ", b" 2_2 "), "", "not a number", id="underscore"),
        pytest.param(LINE.replace(b" 22 ", b" -22 "), "", "not a number", id="negative"),
        pytest.param(LINE.replace(b" 22 ", b" " + b"2" * 30 + b" "), "", "not a number", id="too long"),
        pytest.param(LINE.replace(b"22", b"\xff"), "", "not ASCII", id="not UTF-8"),
        pytest.param(LINE.replace(b" 22 ", " \u0662 ".encode()), "", "not ASCII", id="Arabic digit"),
        pytest.param(b"\x00", "", "wrong number of columns", id="NUL"),
        pytest.param(b"2 " * ITEM_BYTES_MAX, "", "record too large", id="too large"),
        pytest.param(b'{"a":1}', "", "not a flow log record", id="another object"),
        pytest.param(b'{"message":7}', "", "not a flow log record", id="message of another type"),
        pytest.param(b'{"message":"hello"}', "", "wrong number of columns", id="another message"),
        pytest.param(b'{"message":"\xc3\xa9"}', "", "not ASCII", id="text"),
        pytest.param(b'{"srcaddr":', "", "invalid JSON", id="broken object"),
        pytest.param(b"[1]", "", "wrong number of columns", id="array"),
    ],
)
def test_refusals(payload: bytes, context: str, reason: str) -> None:
    with pytest.raises(DecodeError) as refused:
        VPC.decode(payload, context)
    assert refused.value.reason == reason


@pytest.mark.parametrize(
    ("payload", "context", "expected"),
    [
        pytest.param(b'{"message":"%s"}' % LINE, "", DOC, id="message"),
        pytest.param(b'{"date":1.5,"log":"%s\\n"}' % LINE, "", DOC, id="Fluent Bit's log"),
        pytest.param(
            b'{"account_id":"1","srcport":"22","end":1418530070,"dstaddr":"-","action":null,"log_status":"OK"}',
            "",
            {"account-id": "1", "srcport": 22, "end": 1418530070, "log-status": "OK"},
            id="underscores, numbers as strings, nothing",
        ),
        pytest.param(
            b'{"srcaddr":"a","kubernetes_host":"x","srcport":{"a":1}}',
            "",
            {"srcaddr": "a", "kubernetes_host": "x", "srcport": {"a": 1}},
            id="what an agent adds, and what has no expected type",
        ),
        pytest.param(b"2  10.0.0.1", "version srcaddr", {"version": 2, "srcaddr": "10.0.0.1"}, id="two spaces"),
        pytest.param(b'"2","10.0.0.1"', "version srcaddr", {"version": 2, "srcaddr": "10.0.0.1"}, id="quoted CSV"),
        pytest.param(b"2, 10.0.0.1", "version,srcaddr", {"version": 2, "srcaddr": "10.0.0.1"}, id="commas configured"),
        pytest.param(b"2 x", "${version} ${new_field}", {"version": 2, "new-field": "x"}, id="a format configured"),
        pytest.param(GATEWAY, "", GATEWAY_DOC, id="version 6: a transit gateway's default order"),
        pytest.param(
            b"TransitGateway tgw-1 - 4 -",
            "resource-type tgw-id tgw-src-eni packets-lost-no-route packets-lost-blackhole",
            {"resource-type": "TransitGateway", "tgw-id": "tgw-1", "packets-lost-no-route": 4},
            id="version 6: an order of its own",
        ),
        pytest.param(
            b"7 10.0.0.1 ACCEPT arn:c c - - 0123 - web arn:d arn:t t",
            ECS,
            {
                "version": 7,
                "srcaddr": "10.0.0.1",
                "action": "ACCEPT",
                "ecs-cluster-arn": "arn:c",
                "ecs-cluster-name": "c",
                "ecs-container-id": "0123",
                "ecs-service-name": "web",
                "ecs-task-definition-arn": "arn:d",
                "ecs-task-arn": "arn:t",
                "ecs-task-id": "t",
            },
            id="version 7: ECS",
        ),
        pytest.param(
            b"8 REJECT BPA",
            "version action reject-reason",
            {"version": 8, "action": "REJECT", "reject-reason": "BPA"},
            id="version 8",
        ),
        pytest.param(
            b"9 nat-1 2",
            "version resource-id traffic-path",
            {"version": 9, "resource-id": "nat-1", "traffic-path": 2},
            id="version 9",
        ),
        pytest.param(
            b'{"resource_type":"TransitGateway","tgw_id":"tgw-1","packets_lost_no_route":"4"}',
            "",
            {"resource-type": "TransitGateway", "tgw-id": "tgw-1", "packets-lost-no-route": 4},
            id="version 6 as an object",
        ),
        pytest.param(b"0 -", "encryption-status resource-id", {"encryption-status": 0}, id="version 10"),
    ],
)
def test_decode(payload: bytes, context: str, expected: dict[str, Any]) -> None:
    assert VPC.decode(payload, context) == expected


def test_uid_is_the_same_for_line_and_object_and_knows_no_additions() -> None:
    wrapped = b'{"message":"%s","date":1.5}' % LINE
    flat = {**{key.replace("-", "_"): str(value) for key, value in DOC.items()}, "kubernetes": {"host": "x"}}
    uids = {VPC.uid(LINE, DOC), VPC.uid(wrapped, VPC.decode(wrapped, ""))}
    assert {VPC.uid(b"", VPC.decode(repr(flat).replace("'", '"').encode(), "")), *uids} == uids
    assert VPC.uid(b"", DOC | {"bytes": 1}) not in uids


def test_no_data_and_lost_data() -> None:
    nodata = VPC.decode(NODATA, "")
    assert nodata == {
        "version": 2,
        "account-id": "123456789010",
        "interface-id": "eni-1235b8ca",
        "start": 1431280876,
        "end": 1431280934,
        "log-status": "NODATA",
    }
    assert VPC.nature(nodata) is Nature.EMPTY
    assert VPC.losses(nodata) == ()
    skipped = VPC.decode(NODATA.replace(b"NODATA", b"SKIPDATA"), "")
    assert VPC.nature(skipped) is Nature.EMPTY
    assert VPC.losses(skipped) == (Loss("vpc_skipdata", 1),)


def test_a_gateway_without_data_and_with_lost_data() -> None:
    nodata = VPC.decode(GATEWAY_NODATA, "")
    assert nodata.keys() == {"version", "resource-type", "account-id", "tgw-id", "start", "end", "log-status"}
    assert VPC.nature(nodata) is Nature.EMPTY
    skipped = VPC.decode(GATEWAY_NODATA.replace(b"NODATA", b"SKIPDATA"), "")
    assert VPC.losses(skipped) == (Loss("vpc_skipdata", 1),)


def test_an_envelope_gives_the_records_of_its_lines() -> None:
    body = orjson.dumps({"messageType": "DATA_MESSAGE", "logEvents": [{"id": "1", "message": LINE.decode()}]})
    [piece] = VPC.split(body)
    assert [VPC.decode(item, piece.context) for item in piece.items] == [DOC]
    assert VPC.uid(piece.items[0], DOC) == VPC.uid(LINE, DOC)


@pytest.mark.parametrize(
    ("doc", "expected"),
    [
        pytest.param(
            GATEWAY_DOC,
            Facts(
                sources=("10.0.0.1",),
                source_port=22,
                destinations=("10.1.0.1",),
                destination_port=40000,
                protocol="tcp",
                bytes_count=240,
            ),
            id="a transit gateway: nobody says whether it let it through",
        ),
        pytest.param(
            DOC,
            Facts(
                action="ACCEPT",
                outcome="allow",
                sources=("172.31.16.139",),
                source_port=20641,
                destinations=("172.31.16.21",),
                destination_port=22,
                protocol="tcp",
                bytes_count=4249,
            ),
            id="default",
        ),
        pytest.param(
            {"srcaddr": "a", "pkt-srcaddr": "b", "dstaddr": "c", "pkt-dstaddr": "d", "action": "REJECT"},
            Facts(action="REJECT", outcome="deny", sources=("b",), destinations=("d",)),
            id="the packet's addresses",
        ),
        pytest.param({"protocol": 0}, Facts(protocol="0"), id="protocol 0"),
        pytest.param({"protocol": 89}, Facts(protocol="89"), id="uncommon protocol"),
        pytest.param(
            {"ecs-container-id": "c", "ecs-service-name": "s"},
            Facts(container_id="c", workload_kind="Service", workload="s"),
            id="ECS",
        ),
        pytest.param({}, Facts(), id="nothing"),
        pytest.param({"srcaddr": 7, "srcport": "x", "bytes": -1, "action": []}, Facts(), id="other types"),
    ],
)
def test_facts(doc: dict[str, Any], expected: Facts) -> None:
    assert VPC.facts(doc) == expected


VALUES = st.text(alphabet="abcdef0123456789.:", min_size=1, max_size=12).filter(lambda value: value not in FIELDS)


@given(names=st.lists(st.sampled_from(sorted(FIELDS)), min_size=1, unique=True), data=st.data(), comma=st.booleans())
def test_decode_undoes_join(names: list[str], data: st.DataObject, comma: bool) -> None:
    numbers = {
        "version",
        "srcport",
        "dstport",
        "protocol",
        "packets",
        "bytes",
        "start",
        "end",
        "tcp-flags",
        "traffic-path",
        "packets-lost-no-route",
        "packets-lost-blackhole",
        "packets-lost-mtu-exceeded",
        "packets-lost-ttl-expired",
    }
    integer = st.integers(0, 10**18 - 1)
    docs: list[dict[str, Any]] = [
        {
            name: data.draw(integer if name in numbers | {"encryption-status"} else VALUES)
            for name in names
            if data.draw(st.booleans())
        }
        for _ in range(3)
    ]
    separator = "," if comma and len(names) > 1 else " "
    rows = [separator.join(names)] + [separator.join(str(doc.get(name, "-")) for name in names) for doc in docs]
    pieces = VPC.split("\n".join(rows).encode())
    assert [VPC.decode(item, piece.context) for piece in pieces for item in piece.items] == docs
