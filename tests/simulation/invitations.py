"""Call invitations in random worlds: who calls whom, and what has to be true of every call.

All figures here are those of the documents, on purpose not those of `rtmcore.limits`.
"""

import random
from collections import defaultdict
from typing import TYPE_CHECKING, Any, Final

from rtmcore.client.calling import OutgoingInvitation
from rtmcore.client.events import LocalInvitationChanged, RemoteInvitationChanged
from tests.simulation.history import History, Life

if TYPE_CHECKING:
    from tests.simulation.hosts import ClientHost
    from tests.simulation.workload import Director

ACKNOWLEDGED_BY: Final = 30.0
EXPIRES: Final = 60.0
_SLACK: Final = 0.001
_LOCAL_ENDS: Final = {"ACCEPTED_BY_REMOTE", "REFUSED_BY_REMOTE", "CANCELED", "FAILURE"}
_REMOTE_ENDS: Final = {"ACCEPTED", "REFUSED", "CANCELED", "FAILURE"}
_NOT_BEFORE: Final = {
    "PEER_OFFLINE": ACKNOWLEDGED_BY,
    "PEER_NO_RESPONSE": ACKNOWLEDGED_BY,
    "INVITATION_EXPIRE": EXPIRES,
}


def planned(
    seed: str, clients: int, seconds: float
) -> list[tuple[float, int, int, bool, float, float | None]]:
    """When who calls whom, whether that one accepts, after how long, and when the caller cancels."""
    dice = random.Random(f"calls {seed}")
    found = []
    time = 1.0
    while (time := time + dice.expovariate(1 / 12.0)) < seconds:
        answer = dice.choice((0.01, 0.2, 2.0, 20.0, 59.9, 80.0)) * dice.uniform(0.9, 1.1)
        cancel = answer * dice.uniform(0.9, 1.1) if dice.random() < 0.4 else None
        found.append(
            (time, dice.randrange(clients), dice.randrange(clients), dice.random() < 0.7, answer, cancel)
        )
    return found


class Callers:
    """Carries out calls.

    Args:
        director: Has the clients.
    """

    def __init__(self, director: "Director") -> None:
        self._director = director

    def ring(self, actor: int, other: int, accept: bool, answer: float, cancel: float | None) -> None:
        """Somebody calls somebody."""
        director, world = self._director, self._director.world
        host = director.host(actor)
        if host is None or host.kind != "rtm" or host.core.closed:
            return
        call = OutgoingInvitation(director.peer(other), "content")
        host.call("invitations.send", call)
        world.at(world.time + answer, self._answer, call, accept)
        if cancel is not None:
            world.at(world.time + cancel, self._cancel, host, call)

    def _answer(self, call: OutgoingInvitation, accept: bool) -> None:
        director = self._director
        for host in [*director.actors, *director.retired]:
            if host is None or host.user != call.callee or host.kind != "rtm":
                continue
            for event in host.life.of(RemoteInvitationChanged):
                rings = event.invitation.state.name == "INVITATION_RECEIVED"
                if event.invitation.id == call.id and rings:
                    answer = "accept" if accept else "refuse"
                    host.call(f"invitations.{answer}", event.invitation, "response")
                    break

    @staticmethod
    def _cancel(host: "ClientHost", call: OutgoingInvitation) -> None:
        if call.state.name in ("SENT_TO_REMOTE", "RECEIVED_BY_REMOTE"):
            host.call("invitations.cancel", call, "")


class CallJudge:
    """Judges the calls of a world.

    Args:
        history: Of the world. Its end is meant to be quiet.
    """

    def __init__(self, history: History) -> None:
        self.history = history
        self.sent: dict[str, tuple[Life, OutgoingInvitation]] = {}
        self.accepted: dict[str, float] = {}
        for life in history.lives:
            for call in life.calls:
                if call.name == "invitations.send" and call.arguments[0].id:
                    self.sent[call.arguments[0].id] = (life, call.arguments[0])
            for time, event in life.events:
                accepted = (
                    isinstance(event, LocalInvitationChanged) and event.state.name == "ACCEPTED_BY_REMOTE"
                )
                if accepted:
                    self.accepted[event.invitation.id] = time

    def judge(self) -> None:
        """Find everything that is wrong."""
        for life in self.history.lives:
            self._judge_events(life, LocalInvitationChanged, "RECEIVED_BY_REMOTE", _LOCAL_ENDS)
            self._judge_events(life, RemoteInvitationChanged, "INVITATION_RECEIVED", _REMOTE_ENDS)
            self._judge_caller(life)
            self._judge_callee(life)

    def _wrong(self, time: float, life: Life, text: str) -> None:
        self.history.violation(time, f"{life.name}: {text}")

    def _judge_events(self, life: Life, kind: type[Any], rings: str, ends: set[str]) -> None:
        """An invitation rings at most once, ends at most once, and nothing comes behind its end."""
        seen: dict[int, list[str]] = defaultdict(list)
        for time, event in life.events:
            if isinstance(event, kind):
                before, state = seen[id(event.invitation)], event.state.name
                if any(each in ends for each in before) or (state == rings and before):
                    self._wrong(time, life, f"{event} comes behind {before}")
                before.append(state)

    def _judge_caller(self, life: Life) -> None:
        ended: set[str] = set()
        for time, event in life.events:
            if isinstance(event, LocalInvitationChanged) and event.state.name in _LOCAL_ENDS:
                invitation = event.invitation
                ended.add(invitation.id)
                error = invitation.error
                after = time - invitation.sent_at
                if error is not None and after < _NOT_BEFORE.get(error.name, 0.0) - _SLACK:
                    self._wrong(time, life, f"{invitation} fails with {error.name} after {after:.3f} s")
                if not self.history.faults["suspend"] and after > EXPIRES + _SLACK:
                    self._wrong(time, life, f"{invitation} ends after {after:.3f} s only")
        for id_, (owner, invitation) in self.sent.items():
            if owner is life and life.ended is None and id_ not in ended:
                self._wrong(invitation.sent_at, life, f"{invitation} never ends")

    def _judge_callee(self, life: Life) -> None:
        for time, event in life.events:
            if not isinstance(event, RemoteInvitationChanged):
                continue
            invitation = event.invitation
            owner, call = self.sent.get(invitation.id, (None, None))
            if owner is None or call is None or (owner.user, call.callee) != (invitation.caller, life.user):
                self._wrong(time, life, f"nobody has sent {invitation}")
            elif event.state.name == "ACCEPTED" and self.accepted.get(call.id, time + 1.0) > time:
                self._wrong(time, life, f"{invitation} is accepted here, but not at its caller: {call}")
            elif event.state.name == "CANCELED" and call.state.name != "CANCELED":
                self._wrong(time, life, f"{invitation} is canceled here, but not at its caller: {call}")
