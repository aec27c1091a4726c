"""RFC 3339 to nanoseconds: exact, for every form that sources write, and 0 for what is no time."""

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from collector.decoders._common.timestamps import TIME_NS_MAX, rfc3339_ns

SECOND = 1_795_256_472
NOON = SECOND * 10**9
"""2026-11-21T10:21:12Z."""


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        pytest.param("2026-11-21T10:21:12.123456Z", NOON + 123_456_000, id="Kubernetes"),
        pytest.param("2026-11-21T10:21:12.123456789Z", NOON + 123_456_789, id="Falco"),
        pytest.param("2026-11-21T10:21:12Z", NOON, id="no fraction"),
        pytest.param("2026-11-21T10:21:12.5Z", NOON + 500_000_000, id="one digit"),
        pytest.param("2026-11-21T10:21:12.1234567899999Z", NOON + 123_456_789, id="thirteen digits are cut off"),
        pytest.param("2026-11-21T12:21:12.123456+02:00", NOON + 123_456_000, id="offset"),
        pytest.param("2026-11-21T06:51:12-03:30", NOON, id="negative offset"),
        pytest.param("2026-11-21T10:21:12.000000001+0000", NOON + 1, id="offset without colon"),
        pytest.param("2026-11-21t10:21:12z", NOON, id="lower case"),
        pytest.param("2026-11-21 10:21:12,5", NOON + 500_000_000, id="space, comma, no offset: UTC"),
        pytest.param("2016-12-31T23:59:60Z", 1_483_228_800 * 10**9, id="leap second"),
        pytest.param("1970-01-01T00:00:00.000001Z", 1_000, id="the first microsecond"),
        pytest.param("1970-01-01T00:01:00.000000Z", 60 * 10**9, id="the second minute"),
        pytest.param("1970-01-01T01:00:00+02:00", 0, id="before the epoch by its offset"),
        pytest.param("1969-12-31T23:59:59.999999Z", 0, id="before the epoch"),
        pytest.param("0001-01-01T00:00:00Z", 0, id="Go's zero time"),
        pytest.param("0000-01-01T00:00:00Z", 0, id="year 0"),
        pytest.param("9999-12-31T23:59:59.999999Z", TIME_NS_MAX, id="year 9999"),
        pytest.param("9999-12-31T23:59:59.999999999Z", TIME_NS_MAX, id="year 9999 in nanoseconds"),
        pytest.param("2026-02-30T10:21:12Z", 0, id="no such day"),
        pytest.param("2026-13-01T10:21:12.123456Z", 0, id="no such month"),
        pytest.param("2026-11-21T24:21:12.123456Z", 0, id="no such hour"),
        pytest.param("2026-11-21T10:61:12.123456Z", 0, id="no such minute"),
        pytest.param("2026-11-21T10:21:1_.123456Z", 0, id="underscore"),
        pytest.param("2026-11-21T10:21:12.12345_Z", 0, id="underscore in the fraction"),
        pytest.param("2026-11-21T10:21:12.12345\u0663Z", 0, id="Arabic digit"),
        pytest.param("\u0662026-11-21T10:21:12.123456Z", 0, id="Arabic digit in the year"),
        pytest.param("+026-11-21T10:21:12.123456Z", 0, id="sign"),
        pytest.param("10:21:12.123456789", 0, id="Falco's evt.time.s"),
        pytest.param("", 0, id="empty"),
        pytest.param("2026-11-21T10:21:12." + "1" * 10_000 + "Z", 0, id="too long"),
        pytest.param(None, 0, id="null"),
        pytest.param(NOON, 0, id="number"),
        pytest.param(["2026-11-21T10:21:12Z"], 0, id="list"),
    ],
)
def test_forms(value: object, expected: int) -> None:
    assert rfc3339_ns(value) == expected


TIMES = st.datetimes(min_value=datetime(1970, 1, 2), max_value=datetime(2261, 1, 1))  # noqa: DTZ001


@given(when=TIMES, nanoseconds=st.integers(0, 999), offset_min=st.integers(-14 * 60, 14 * 60))
def test_agrees_with_datetime(when: datetime, nanoseconds: int, offset_min: int) -> None:
    zone = timezone(timedelta(minutes=offset_min))
    since = when.replace(tzinfo=zone) - datetime(1970, 1, 1, tzinfo=UTC)
    expected = (since // timedelta(microseconds=1)) * 1000
    text = when.isoformat(timespec="microseconds")
    suffix = zone.tzname(None)[3:] or "+00:00"
    assert rfc3339_ns(text + suffix) == expected
    assert rfc3339_ns(f"{text}{nanoseconds:03d}{suffix}") == expected + nanoseconds


@given(when=TIMES)
def test_the_fast_form_is_the_general_one(when: datetime) -> None:
    text = when.isoformat(timespec="microseconds")
    assert rfc3339_ns(text + "Z") == rfc3339_ns(text + "+00:00") == rfc3339_ns(text + "000Z")


@given(st.text(alphabet="0123456789-T:.Z+ _", max_size=40) | st.text(max_size=40))
def test_any_text_is_some_time_or_none(text: str) -> None:
    assert 0 <= rfc3339_ns(text) <= TIME_NS_MAX
