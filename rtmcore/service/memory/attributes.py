"""Attributes of users: they live and end with the user's session."""

from typing import Final

from rtmcore.codes import AttributeOperationError
from rtmcore.service.commands import Attributes, ReadAttributes, Refusal, Settled, WriteAttributes
from rtmcore.service.memory.results import fitting
from rtmcore.service.memory.state import FENCED, Outlet, State

_SETTLED: Final = Settled()
_NOT_FOUND: Final = Refusal(
    AttributeOperationError.USER_NOT_FOUND, "The user is not online, and only who is online has attributes."
)


class UserAttributes:
    """Carries out the commands about attributes of users.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state

    def write(self, outlet: Outlet, command: WriteAttributes, now: float, wall: int) -> None:
        """Carry out `WriteAttributes`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            outlet.answer(command, fitting(known, Settled))
            return
        live.attributes = command.attributes
        results.keep(command.cmid, _SETTLED)
        outlet.answer(command, _SETTLED)

    def read(self, outlet: Outlet, command: ReadAttributes, now: float, wall: int) -> None:
        """Carry out `ReadAttributes`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        account = live.account.peers.get(command.user)
        if account is None or account.live is None:
            outlet.answer(command, _NOT_FOUND)
        else:
            outlet.answer(command, Attributes(account.live.attributes))
