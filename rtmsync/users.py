"""What a client asks and tells about users: who is online, and attributes."""

from collections.abc import Iterable, Mapping

from rtmcore.codes import PeerOnlineState, PeerSubscriptionOption
from rtmcore.models import PeerStatus
from rtmsync.calls import ClientCalls, Request, listed
from rtmsync.driver.clock import Timeout
from rtmsync.driver.futures import ClientFuture


class UserCalls(ClientCalls):
    """The calls of a client that are about users."""

    # --- Presence -----------------------------------------------------------------------------------------------

    @property
    def presence(self) -> dict[str, PeerOnlineState]:
        """The online states of the users that were subscribed to, as far as they are known."""
        return dict(self._driver.core.users.peer_states)

    def query_presence(self, users: str | Iterable[str], timeout: Timeout = None) -> tuple[PeerStatus, ...]:
        """Ask once which users are online.

        Args:
            users: User ids, 1 to 256.
            timeout: Seconds in all, 10 by default.

        Returns:
            The status of each, in the order of `users`: ONLINE or OFFLINE.

        Raises:
            RtmError: With a `QueryPeersOnlineError` as its code: InvalidArgument, RateLimited above 10 calls in 5 s,
                RequestTimeout, NotLoggedIn, …
        """
        found: tuple[PeerStatus, ...] = self._ask("query_presence", _query(users), timeout)
        return found

    def query_presence_future(
        self, users: str | Iterable[str], timeout: Timeout = None
    ) -> "ClientFuture[tuple[PeerStatus, ...]]":
        """Like `query_presence`, without waiting."""
        return self._ask_future("query_presence", _query(users), timeout)

    def subscribe_presence(self, users: str | Iterable[str], timeout: Timeout = None) -> None:
        """Be told of the online states of users: first of each one's state, then of every change.

        What is told comes as `PresenceChanged`, and `presence` has it at any time. A subscription outlasts
        reconnects, and ends with `unsubscribe_presence` and with the session.

        Args:
            users: User ids, at most 512 subscribed to in all.
            timeout: Seconds in all, 10 by default.

        Raises:
            RtmError: With a `PeerSubscriptionStatusError` as its code: InvalidArgument, LimitExceeded, RateLimited,
                RequestTimeout, NotLoggedIn, …
        """
        self._ask("subscribe_presence", _subscribe(users), timeout)

    def subscribe_presence_future(
        self, users: str | Iterable[str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `subscribe_presence`, without waiting."""
        return self._ask_future("subscribe_presence", _subscribe(users), timeout)

    def unsubscribe_presence(self, users: str | Iterable[str], timeout: Timeout = None) -> None:
        """Be told no longer of the online states of users.

        Args:
            users: User ids.
            timeout: Seconds in all, 10 by default.

        Raises:
            RtmError: With a `PeerSubscriptionStatusError` as its code; see `subscribe_presence`.
        """
        self._ask("unsubscribe_presence", _unsubscribe(users), timeout)

    def unsubscribe_presence_future(
        self, users: str | Iterable[str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `unsubscribe_presence`, without waiting."""
        return self._ask_future("unsubscribe_presence", _unsubscribe(users), timeout)

    def subscribed_peers(
        self,
        option: PeerSubscriptionOption = PeerSubscriptionOption.ONLINE_STATUS,
        timeout: Timeout = None,
    ) -> tuple[str, ...]:
        """Ask the server which users this client has subscribed to.

        Args:
            option: To what of them; there is only their online status.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With a `QueryPeersBySubscriptionOptionError` as its code: RateLimited above 10 calls in 5 s,
                RequestTimeout, NotLoggedIn, …
        """
        found: tuple[str, ...] = self._ask("subscribed_peers", _subscribed(option), timeout)
        return found

    def subscribed_peers_future(
        self,
        option: PeerSubscriptionOption = PeerSubscriptionOption.ONLINE_STATUS,
        timeout: Timeout = None,
    ) -> "ClientFuture[tuple[str, ...]]":
        """Like `subscribed_peers`, without waiting."""
        return self._ask_future("subscribed_peers", _subscribed(option), timeout)

    # --- Attributes ---------------------------------------------------------------------------------------------

    def set_attributes(self, attributes: Mapping[str, str], timeout: Timeout = None) -> None:
        """Replace this user's own attributes by others; they are kept while the session lasts.

        All changes of one's own attributes together may come 10 times in 5 s.

        Args:
            attributes: At most 32 of them: names of 1 to 32 bytes, values of at most 8 KiB, 16 KiB in all.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code: InvalidArgument, LimitExceeded, RateLimited,
                RequestTimeout, NotLoggedIn, …
        """
        self._ask("set_attributes", _set(attributes), timeout)

    def set_attributes_future(
        self, attributes: Mapping[str, str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `set_attributes`, without waiting."""
        return self._ask_future("set_attributes", _set(attributes), timeout)

    def update_attributes(self, attributes: Mapping[str, str], timeout: Timeout = None) -> None:
        """Add some attributes of this user, or change them; the others stay.

        Args:
            attributes: As for `set_attributes`; the limits hold for all together.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code; see `set_attributes`.
        """
        self._ask("update_attributes", _update(attributes), timeout)

    def update_attributes_future(
        self, attributes: Mapping[str, str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `update_attributes`, without waiting."""
        return self._ask_future("update_attributes", _update(attributes), timeout)

    def delete_attributes(self, keys: str | Iterable[str], timeout: Timeout = None) -> None:
        """Delete some attributes of this user; unknown keys are no error.

        Args:
            keys: Their names, 1 to 32.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code; see `set_attributes`.
        """
        self._ask("delete_attributes", _delete(keys), timeout)

    def delete_attributes_future(
        self, keys: str | Iterable[str], timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `delete_attributes`, without waiting."""
        return self._ask_future("delete_attributes", _delete(keys), timeout)

    def clear_attributes(self, timeout: Timeout = None) -> None:
        """Delete all attributes of this user.

        Args:
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code; see `set_attributes`.
        """
        self._ask("clear_attributes", _clear(), timeout)

    def clear_attributes_future(self, timeout: Timeout = None) -> "ClientFuture[None]":
        """Like `clear_attributes`, without waiting."""
        return self._ask_future("clear_attributes", _clear(), timeout)

    def get_attributes(
        self, user: str, keys: str | Iterable[str] | None = None, timeout: Timeout = None
    ) -> dict[str, str]:
        """The attributes of a user.

        Args:
            user: Who: another user that is logged in, or this one.
            keys: Only these, as far as he has them, 1 to 32; None for all.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code: USER_NOT_FOUND where he is not logged in,
                InvalidArgument, RateLimited above 40 calls in 5 s, RequestTimeout, NotLoggedIn, …
        """
        found: dict[str, str] = self._ask("get_attributes", _get(user, keys), timeout)
        return found

    def get_attributes_future(
        self, user: str, keys: str | Iterable[str] | None = None, timeout: Timeout = None
    ) -> "ClientFuture[dict[str, str]]":
        """Like `get_attributes`, without waiting."""
        return self._ask_future("get_attributes", _get(user, keys), timeout)


def _query(users: str | Iterable[str]) -> Request:
    names = listed(users)
    return lambda core, seconds, now: core.users.query(names, timeout=seconds, now=now)


def _subscribe(users: str | Iterable[str]) -> Request:
    names = listed(users)
    return lambda core, seconds, now: core.users.subscribe(names, timeout=seconds, now=now)


def _unsubscribe(users: str | Iterable[str]) -> Request:
    names = listed(users)
    return lambda core, seconds, now: core.users.unsubscribe(names, timeout=seconds, now=now)


def _subscribed(option: PeerSubscriptionOption) -> Request:
    return lambda core, seconds, now: core.users.subscribed(option, timeout=seconds, now=now)


def _set(attributes: Mapping[str, str]) -> Request:
    return lambda core, seconds, now: core.users.set_attributes(attributes, timeout=seconds, now=now)


def _update(attributes: Mapping[str, str]) -> Request:
    return lambda core, seconds, now: core.users.update_attributes(attributes, timeout=seconds, now=now)


def _delete(keys: str | Iterable[str]) -> Request:
    names = listed(keys)
    return lambda core, seconds, now: core.users.delete_attributes(names, timeout=seconds, now=now)


def _clear() -> Request:
    return lambda core, seconds, now: core.users.clear_attributes(timeout=seconds, now=now)


def _get(user: str, keys: str | Iterable[str] | None) -> Request:
    names = None if keys is None else listed(keys)
    return lambda core, seconds, now: core.users.get_attributes(user, names, timeout=seconds, now=now)
