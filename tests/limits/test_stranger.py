"""Limits against a real server, by a client written from docs/protocol alone: it is refused, and loses nothing."""

from collections.abc import Iterator
from typing import Any

import pytest

from rtmcore import limits
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.interop.wireclient import ENCODINGS, TEXT, WireClient

NAME = "x" * 64
REFUSED: list[tuple[str, dict[str, Any], int]] = [
    ("send", {"to": NAME + "x", "kind": TEXT, "body": b"x"}, 6),
    ("send", {"to": "a*b", "kind": TEXT, "body": b"x"}, 6),
    ("send", {"to": NAME, "kind": TEXT, "body": b"x" * (limits.MESSAGE_BYTES + 1)}, 7),
    ("publish", {"ch": "ops", "kind": TEXT, "body": b"x" * (limits.MESSAGE_BYTES + 1)}, 4),
    ("join", {"ch": NAME + "x"}, 3),
    ("set_attributes", {"attributes": {"k" * 33: "v"}}, 3),
    ("set_attributes", {"attributes": {"k": "v" * (limits.ATTRIBUTE_VALUE_BYTES + 1)}}, 4),
    ("set_attributes", {"attributes": {f"{n}": "v" for n in range(33)}}, 4),
    ("update_attributes", {"changed": {f"{n}": "v" * 8000 for n in range(3)}}, 4),
    ("set_channel_attributes", {"ch": "ops", "attributes": {f"{n}": "v" * 8000 for n in range(5)}}, 4),
    ("query_online", {"users": [f"{n}" for n in range(257)]}, 2),
    ("subscribe", {"users": [f"{n}" for n in range(513)]}, 6),
    ("get_counts", {"channels": [f"{n}" for n in range(33)]}, 5),
]


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0)) as running:
        yield running


@pytest.mark.parametrize("encoding", ENCODINGS, ids=lambda encoding: encoding.subprotocol)
def test_a_client_that_checks_nothing_is_refused_and_goes_on(server: Server, encoding: Any) -> None:
    stranger = WireClient(server.url, DEV_APP_ID, f"stranger-{encoding.subprotocol}", encoding)
    stranger.login()
    stranger.ask("join", ch="ops")
    stranger.ask("set_attributes", attributes={"mine": "kept"})
    for tag, fields, code in REFUSED:
        answer, failed = stranger.ask(tag, **fields)
        assert (answer, failed.get("code")) == ("failed", code), (tag, failed)
    told = stranger.welcome["limits"]
    burst = limits.SERVER_RATE_BURST * told["rate_members"]
    answers = [stranger.ask("members", ch="ops") for _ in range(burst)]
    while (
        answers[-1][0] == "member_list" and len(answers) < 10 * burst
    ):  # a slow machine gives the bucket time
        answers.append(stranger.ask("members", ch="ops"))
    assert [answer for answer, _ in answers[:-1]] == ["member_list"] * (len(answers) - 1)
    answer, failed = answers[-1]
    assert len(answers) > burst
    assert (answer, failed["code"]) == ("failed", 4)
    assert 0 < failed["retry"] <= told["rate_members_ms"] / told["rate_members"]
    assert stranger.ask("get_attributes", user=stranger.user)[1]["attributes"] == {"mine": "kept"}
    assert stranger.ask("publish", ch="ops", kind=TEXT, body=b"still here")[0] == "published"
    stranger.logout()
