"""Presence: who wants to know whether whom is there."""

from typing import Final

import attrs

from rtmcore.codes import PeerOnlineState, PeerSubscriptionStatusError
from rtmcore.service.commands.names import Name
from rtmcore.service.commands.presence import (
    ListSubscriptions,
    PresenceNotice,
    QueryPresence,
    States,
    SubscribePresence,
    UnsubscribePresence,
    UserNames,
)
from rtmcore.service.commands.results import Refusal, Settled
from rtmcore.service.memory.results import fitting
from rtmcore.service.memory.state import FENCED, Account, Live, Outlet, State

_SETTLED: Final = Settled()


@attrs.define(eq=False)
class _Watched:
    """A name that somebody has subscribed to; it may never have existed."""

    state: PeerOnlineState
    """What the subscribers were told last."""
    watchers: dict[Live, None] = attrs.field(factory=dict)


class Presence:
    """Carries out the commands about presence, and tells subscribers of changes.

    What a session names is kept as long as the session, or until it unsubscribes.

    Args:
        state: What it shares with the other parts.
    """

    def __init__(self, state: State) -> None:
        self._state = state
        self._watched: dict[Name, _Watched] = {}

    # --- Subscriptions ------------------------------------------------------------

    def subscribe(self, outlet: Outlet, command: SubscribePresence, now: float, wall: int) -> None:
        """Carry out `SubscribePresence`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            outlet.answer(command, fitting(known, Settled))
            return
        added = dict.fromkeys(user for user in command.users if user not in live.subscriptions)
        value = self._refusal(live, len(added)) or _SETTLED
        results.keep(command.cmid, value)
        outlet.answer(command, value)
        if value is _SETTLED and added:
            live.subscriptions.update(added)
            for user in added:
                self._watch(live, user)
            self._tell(live, tuple((user, self._state_of(live, user)) for user in added))

    def _refusal(self, live: Live, count: int) -> Refusal | None:
        most = self._state.caps.presence_subscriptions
        if len(live.subscriptions) + count <= most:
            return None
        return Refusal(
            PeerSubscriptionStatusError.OVERFLOW,
            f"A client can subscribe to {most} users in all: unsubscribe from others first.",
        )

    def unsubscribe(self, outlet: Outlet, command: UnsubscribePresence, now: float, wall: int) -> None:
        """Carry out `UnsubscribePresence`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        results = live.instance.results
        known = results.look_up(command.cmid, command.floor)
        if known is not None:
            outlet.answer(command, fitting(known, Settled))
            return
        for user in command.users:
            if user in live.subscriptions:
                del live.subscriptions[user]
                self._unwatch(live, user)
        results.keep(command.cmid, _SETTLED)
        outlet.answer(command, _SETTLED)

    def forget(self, live: Live) -> None:
        """A session ends, and its subscriptions with it."""
        for user in live.subscriptions:
            self._unwatch(live, user)
        live.subscriptions.clear()

    def _watch(self, live: Live, user: str) -> None:
        name = live.account.name._replace(name=user)
        watched = self._watched.get(name)
        if watched is None:
            watched = self._watched[name] = _Watched(_state_of(self._state.accounts.get(name)))
        watched.watchers[live] = None

    def _unwatch(self, live: Live, user: str) -> None:
        name = live.account.name._replace(name=user)
        watched = self._watched[name]
        del watched.watchers[live]
        if not watched.watchers:
            del self._watched[name]

    # --- Questions ----------------------------------------------------------------

    def query(self, outlet: Outlet, command: QueryPresence, now: float, wall: int) -> None:
        """Carry out `QueryPresence`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        peers = live.account.peers
        outlet.answer(command, States(tuple((user, _presence_of(peers.get(user))) for user in command.users)))

    def list_subscriptions(self, outlet: Outlet, command: ListSubscriptions, now: float, wall: int) -> None:
        """Carry out `ListSubscriptions`."""
        live = self._state.current(command.session)
        if live is None:
            outlet.answer(command, FENCED)
            return
        outlet.answer(command, UserNames(tuple(live.subscriptions)))

    # --- Changes ------------------------------------------------------------------

    def changed(self, account: Account, *, besides: Live | None = None) -> None:
        """A name may have come, gone, or become silent: tell its subscribers if it has.

        Args:
            account: The name.
            besides: A subscriber who is told otherwise.
        """
        watched = self._watched.get(account.name)
        if watched is None:
            return
        state = _state_of(account)
        if state is watched.state:
            return
        watched.state = state
        for live in watched.watchers:
            if live is not besides:
                self._tell(live, ((account.name.name, state),))

    def returned(self, live: Live) -> None:
        """A newer transport speaks for a session: tell it everything, for it may have missed changes."""
        self.changed(live.account, besides=live)
        if live.subscriptions:
            self._tell(live, tuple((user, self._state_of(live, user)) for user in live.subscriptions))

    def _tell(self, live: Live, states: tuple[tuple[str, PeerOnlineState], ...]) -> None:
        if live.outlet is not None and not live.gone:
            live.outlet.outputs.append(PresenceNotice(live.session, states))

    def _state_of(self, live: Live, user: str) -> PeerOnlineState:
        return _state_of(live.account.peers.get(user))


def _state_of(account: Account | None) -> PeerOnlineState:
    live = None if account is None else account.live
    if live is None:
        return PeerOnlineState.OFFLINE
    return PeerOnlineState.UNREACHABLE if live.unreachable else PeerOnlineState.ONLINE


def _presence_of(account: Account | None) -> PeerOnlineState:
    """What a question is answered: who is unreachable has not gone."""
    return PeerOnlineState.OFFLINE if account is None or account.live is None else PeerOnlineState.ONLINE
