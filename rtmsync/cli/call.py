"""`rtm call`: invite a user to a call, or answer an invitation, and show what happens to it."""

from typing import Any, Final

import click

from rtmcore.client.events import StateChanged
from rtmcore.codes import ConnectionState, RemoteInvitationState
from rtmcore.errors import RequestTimeout
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import emit, note
from rtmsync.cli.telling import abortion, tell_state
from rtmsync.client import Client
from rtmsync.driver.clock import FOREVER
from rtmsync.exits import ExitCode
from rtmsync.invitation import LocalInvitation, RemoteInvitation
from rtmsync.invitation_events import (
    LOCAL_EVENTS,
    REMOTE_EVENTS,
    LocalInvitationAccepted,
    LocalInvitationReceivedByPeer,
    RemoteInvitationAccepted,
    RemoteInvitationReceived,
)

_CALLERS: Final[tuple[type[Any], ...]] = (StateChanged, *LOCAL_EVENTS)
_CALLEES: Final[tuple[type[Any], ...]] = (StateChanged, *REMOTE_EVENTS)


@click.command("call")
@connection_options
@click.option("--content", default="", help="What the invitation says, at most 8 KiB.")
@click.option("--channel", default="", help="A channel that the two may use, at most 64 bytes.")
@click.option(
    "--answer",
    type=click.Choice(["accept", "refuse"]),
    help="Invite nobody: wait for an invitation, and answer it.",
)
@click.option("--response", default="", help="What the answer says, at most 8 KiB.")
@click.option(
    "--wait",
    type=click.FloatRange(min=0, min_open=True),
    help="With --answer: seconds to wait for an invitation; exits with 4 if none came.",
)
@click.argument("callee", required=False)
def command(
    login: Login,
    content: str,
    channel: str,
    answer: str | None,
    response: str,
    wait: float | None,
    callee: str | None,
) -> int:
    """Invite CALLEE to a call, and print what happens to the invitation, each as a line of JSON.

    Ctrl-C cancels it. Exits with 0 when it is accepted, and with 1 when it is refused, canceled or has failed. With
    --answer it waits for an invitation instead, from CALLEE where one is named.
    """
    if answer is None and callee is None:
        raise click.UsageError("Name a CALLEE to invite, or say --answer accept or --answer refuse.")
    with login.connect() as client:
        if answer is None:
            assert callee is not None
            return _call(client, client.invite(callee, content, channel))
        return _answer(client, answer, response, callee, FOREVER if wait is None else wait)


def _call(client: Client, call: LocalInvitation) -> ExitCode:
    with client.events(*_CALLERS) as events:
        call.send()
        note(f"Inviting {call.callee}; Ctrl-C cancels.")
        try:
            return _show(events, call, LocalInvitationReceivedByPeer)
        except KeyboardInterrupt:
            call.cancel()
            _show(events, call, LocalInvitationReceivedByPeer)
            raise


def _answer(client: Client, answer: str, response: str, caller: str | None, wait: float) -> ExitCode:
    with client.events(*_CALLEES) as events:
        note(f"Waiting for an invitation to {client.user_id}; Ctrl-C ends.")
        while True:
            try:
                event = events.get(timeout=wait)
            except RequestTimeout:
                note("No invitation came.")
                return ExitCode.TIMEOUT
            if isinstance(event, StateChanged):
                _judge(event)
            elif isinstance(event, RemoteInvitationReceived) and caller in (None, event.invitation.caller):
                break
        emit(_row(event))
        if answer == "accept":
            event.invitation.accept(response)
        else:
            event.invitation.refuse(response)
        ending = _show(events, event.invitation, RemoteInvitationReceived)
        refused = event.invitation.state is RemoteInvitationState.REFUSED
        return ExitCode.OK if refused and answer == "refuse" else ending


def _show(events: Any, invitation: LocalInvitation | RemoteInvitation, rings: type[Any]) -> ExitCode:
    """Print the events of an invitation up to its end."""
    while True:
        event = events.get(timeout=FOREVER)
        if isinstance(event, StateChanged):
            _judge(event)
        elif getattr(event, "invitation", None) is invitation:
            emit(_row(event))
            if not isinstance(event, rings):
                accepted = isinstance(event, LocalInvitationAccepted | RemoteInvitationAccepted)
                return ExitCode.OK if accepted else ExitCode.FAILURE


def _row(event: Any) -> dict[str, object]:
    invitation = event.invitation
    row: dict[str, object] = {"event": type(event).__name__}
    if isinstance(invitation, RemoteInvitation):
        row["caller"] = invitation.caller
    else:
        row["callee"] = invitation.callee
    if isinstance(event, RemoteInvitationReceived):
        row["channel_id"] = invitation.channel_id
        row["content"] = invitation.content
    for name in ("response", "content"):
        if hasattr(event, name):
            row[name] = getattr(event, name)
    if hasattr(event, "code"):
        row["code"] = event.code.name
    return row


def _judge(event: StateChanged) -> None:
    tell_state(event)
    if event.state is ConnectionState.ABORTED:
        raise abortion(event, "call")
