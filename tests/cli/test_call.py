"""`rtm call` against a real server: inviting, answering, and what the exit status says."""

import json
from collections.abc import Iterator

import pytest

import rtmsync
from rtmsync import RemoteInvitationReceived
from rtmsync.exits import ExitCode
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.cli.conftest import Outcome, Rtm
from tests.cli.ends import running


@pytest.fixture(scope="module")
def url() -> Iterator[str]:
    with Server(ServerConfig(apps=[AppKeys(DEV_APP_ID)], port=0)) as server:
        yield server.url


def connect(url: str, user: str) -> rtmsync.Client:
    return rtmsync.connect(url, app_id=DEV_APP_ID, user_id=user, proxy=None)


def rows(outcome: Outcome) -> list[dict[str, str]]:
    return [json.loads(line) for line in outcome.out.splitlines()]


@pytest.mark.parametrize(
    ("answer", "event", "status"),
    [
        ("accept", "LocalInvitationAccepted", ExitCode.OK),
        ("refuse", "LocalInvitationRefused", ExitCode.FAILURE),
    ],
)
def test_inviting_somebody(rtm: Rtm, url: str, answer: str, event: str, status: ExitCode) -> None:
    heard: list[tuple[str, str, str]] = []
    with connect(url, f"callee-{answer}") as callee:

        @callee.on(RemoteInvitationReceived)
        def react(event: RemoteInvitationReceived) -> None:
            invitation = event.invitation
            heard.append((invitation.caller, invitation.content, invitation.channel_id))
            getattr(invitation, answer)("well")

        outcome = rtm(
            *("call", "--url", url, "--user", "ann", "--content", "now?", "--channel", "ops", callee.user_id)
        )
    assert heard == [("ann", "now?", "ops")]
    assert outcome.status == status
    assert rows(outcome) == [
        {"event": "LocalInvitationReceivedByPeer", "callee": f"callee-{answer}"},
        {"event": event, "callee": f"callee-{answer}", "response": "well"},
    ]


@pytest.mark.parametrize(
    ("answer", "last"), [("accept", "RemoteInvitationAccepted"), ("refuse", "RemoteInvitationRefused")]
)
def test_answering_somebody(url: str, answer: str, last: str) -> None:
    arguments = ("call", "--url", url, "--user", f"bob-{answer}", "--answer", answer, "--response", "well")
    with running(*arguments) as waiting, connect(url, f"ann-{answer}") as caller:
        waiting.notes("Waiting for an invitation")
        call = caller.invite(f"bob-{answer}", "now?").send()
        call.wait()
        assert call.response == "well"
        first, second = waiting.row(), waiting.row()
        assert first == {
            "event": "RemoteInvitationReceived",
            "caller": caller.user_id,
            "channel_id": "",
            "content": "now?",
        }
        assert second["event"] == last
        assert waiting.wait() == ExitCode.OK


def test_nobody_to_call(rtm: Rtm, url: str) -> None:
    assert rtm("call", "--url", url).status == ExitCode.USAGE
    assert rtm("call", "--url", url, "no\nname").status == ExitCode.USAGE


def test_no_invitation_comes(rtm: Rtm, url: str) -> None:
    outcome = rtm("call", "--url", url, "--user", "lone", "--answer", "accept", "--wait", "0.2")
    assert outcome.status == ExitCode.TIMEOUT
