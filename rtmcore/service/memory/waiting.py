"""Requests that are answered when their records are on the disk, and their repeats."""

from typing import Any, Final

from rtmcore.service.commands.results import Refusal, Settled, Trouble
from rtmcore.service.commands.table import Answer
from rtmcore.service.memory.results import Result, Written, fitting
from rtmcore.service.memory.state import Live, Outlet, Pending, State

TOO_MANY: Final = Refusal(Trouble.FULL, "Too many requests of this client wait for the server's disk.")
NOT_WRITTEN: Final = Refusal(
    Trouble.UNAVAILABLE, "The server's disk did not take it, so nothing has changed. Try again."
)
_SETTLED: Final = Settled()


def is_repeat(outlet: Outlet, live: Live, command: Any, kind: type[Any]) -> bool:
    """Whether a request was made before: if so, it is answered as then, or when the first one is.

    Args:
        outlet: Where the answer goes.
        live: The session that asks.
        command: The request.
        kind: Of its results.
    """
    known = live.instance.results.look_up(command.cmid, command.floor)
    if known is None:
        return False
    if isinstance(known, Pending) and known.command.__class__ is command.__class__:
        known.command = command
        return True
    outlet.answer(command, fitting(known, kind))
    return True


def wait(live: Live, command: Any) -> Pending:
    """Let a request wait until `settle`."""
    results = live.instance.results
    pending = results.pending[command.cmid] = Pending(live.account.name, command, results)
    return pending


def settle(state: State, pending: Pending, value: Result) -> None:
    """Tell who asked how a request went, and remember it for repeats."""
    command = pending.command
    pending.results.settle(command.cmid, value)
    account = state.accounts.get(pending.author)
    live = None if account is None else account.live
    # An answer belongs to the session and its fence, not to the transport that asked.
    if live is not None and live.outlet is not None and live.session.fence == command.session.fence:
        live.outlet.outputs.append(Answer(command, _SETTLED if isinstance(value, Written) else value))
