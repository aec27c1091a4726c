"""`${NAME}` in values: a table of what it means, and of what it refuses."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vedette.app.substitution import expand
from vedette.schema.errors import ConfigError

ENVIRONMENT = {"HOST": "db", "EMPTY": "", "TRICKY": "${HOST}"}


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("${HOST}:5432", "db:5432"),
        ("${HOST}${HOST}", "dbdb"),
        ("${EMPTY}", ""),
        ("${EMPTY:-x}", "x"),
        ("${NONE:-}", ""),
        ("${NONE:-a:-b $HOST}", "a:-b $HOST"),
        ("${TRICKY}", "${HOST}"),
        ("$HOST 5$", "$HOST 5$"),
        ("$${HOST}", "${HOST}"),
        ("$$$${HOST}", "$${HOST}"),
    ],
)
def test_references_are_replaced_once(text: str, value: str) -> None:
    assert expand(text, ENVIRONMENT) == value


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("${NONE}", "environment variable `NONE` is not set; set it, or write ${NONE:-default}"),
        ("hunter2${", "`${` must go on with a variable's name"),
        ("${hunter2-x}", "`${` must go on with a variable's name"),
        ("${1}", "`${` must go on with a variable's name"),
    ],
)
def test_refusals_say_what_to_do_and_no_value(text: str, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        expand(text, ENVIRONMENT)
    assert str(caught.value).startswith(message)
    assert "hunter2" not in str(caught.value)


@given(st.text())
def test_what_is_escaped_is_literal(text: str) -> None:
    assert expand(text.replace("$", "$$"), {}) == text
