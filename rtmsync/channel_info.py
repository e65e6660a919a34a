"""What a client asks and writes about channels by their ids: attributes, and how many members they have."""

from collections.abc import Iterable, Mapping

from rtmcore.models import ChannelAttribute
from rtmsync.calls import ClientCalls, Request, listed
from rtmsync.driver.clock import Timeout
from rtmsync.driver.futures import ClientFuture


class ChannelCalls(ClientCalls):
    """The calls of a client that are about channels which it need not be in."""

    def set_channel_attributes(
        self, channel: str, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> None:
        """Replace the attributes of a channel by others. This client need not be in it.

        They are kept while anybody is in the channel, and for about 120 s after; a restart of the server does not
        change that. All changes of channels' attributes together may come 10 times in 5 s.

        Args:
            channel: The channel's id.
            attributes: At most 32 of them: names of 1 to 32 bytes, values of at most 8 KiB, 32 KiB in all.
            notify: Tell all members, by a `ChannelAttributesUpdated`.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code: InvalidArgument, LimitExceeded, RateLimited,
                RequestTimeout, NotLoggedIn, …
        """
        self._ask("set_channel_attributes", _set(channel, attributes, notify), timeout)

    def set_channel_attributes_future(
        self, channel: str, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `set_channel_attributes`, without waiting."""
        return self._ask_future("set_channel_attributes", _set(channel, attributes, notify), timeout)

    def update_channel_attributes(
        self, channel: str, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> None:
        """Add some attributes of a channel, or change them; the others stay. This client need not be in it.

        Args:
            channel: The channel's id.
            attributes: As for `set_channel_attributes`; the limits hold for all together.
            notify: Tell all members, by a `ChannelAttributesUpdated`.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code; see `set_channel_attributes`.
        """
        self._ask("update_channel_attributes", _update(channel, attributes, notify), timeout)

    def update_channel_attributes_future(
        self, channel: str, attributes: Mapping[str, str], *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `update_channel_attributes`, without waiting."""
        return self._ask_future("update_channel_attributes", _update(channel, attributes, notify), timeout)

    def delete_channel_attributes(
        self, channel: str, keys: str | Iterable[str], *, notify: bool = False, timeout: Timeout = None
    ) -> None:
        """Delete some attributes of a channel; unknown keys are no error. This client need not be in it.

        Args:
            channel: The channel's id.
            keys: Their names, 1 to 32.
            notify: Tell all members, by a `ChannelAttributesUpdated`.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code; see `set_channel_attributes`.
        """
        self._ask("delete_channel_attributes", _delete(channel, keys, notify), timeout)

    def delete_channel_attributes_future(
        self, channel: str, keys: str | Iterable[str], *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `delete_channel_attributes`, without waiting."""
        return self._ask_future("delete_channel_attributes", _delete(channel, keys, notify), timeout)

    def clear_channel_attributes(
        self, channel: str, *, notify: bool = False, timeout: Timeout = None
    ) -> None:
        """Delete all attributes of a channel. This client need not be in it.

        Args:
            channel: The channel's id.
            notify: Tell all members, by a `ChannelAttributesUpdated`.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code; see `set_channel_attributes`.
        """
        self._ask("clear_channel_attributes", _clear(channel, notify), timeout)

    def clear_channel_attributes_future(
        self, channel: str, *, notify: bool = False, timeout: Timeout = None
    ) -> "ClientFuture[None]":
        """Like `clear_channel_attributes`, without waiting."""
        return self._ask_future("clear_channel_attributes", _clear(channel, notify), timeout)

    def get_channel_attributes(
        self, channel: str, keys: str | Iterable[str] | None = None, timeout: Timeout = None
    ) -> dict[str, ChannelAttribute]:
        """The attributes of a channel, each with who wrote it last and when. This client need not be in it.

        Args:
            channel: The channel's id.
            keys: Only these, as far as there are such, 1 to 32; None for all.
            timeout: Seconds in all, 5 by default.

        Raises:
            RtmError: With an `AttributeOperationError` as its code: InvalidArgument, RateLimited above 10 calls in
                5 s, RequestTimeout, NotLoggedIn, …
        """
        found: dict[str, ChannelAttribute] = self._ask("get_channel_attributes", _get(channel, keys), timeout)
        return found

    def get_channel_attributes_future(
        self, channel: str, keys: str | Iterable[str] | None = None, timeout: Timeout = None
    ) -> "ClientFuture[dict[str, ChannelAttribute]]":
        """Like `get_channel_attributes`, without waiting."""
        return self._ask_future("get_channel_attributes", _get(channel, keys), timeout)

    def member_counts(self, channels: str | Iterable[str], timeout: Timeout = None) -> dict[str, int]:
        """How many members channels have. This client need not be in them.

        Args:
            channels: Channel ids, 1 to 32.
            timeout: Seconds in all, 5 by default.

        Returns:
            The number by channel id; 0 where nobody is in a channel.

        Raises:
            RtmError: With a `ChannelMemberCountError` as its code: InvalidArgument, LimitExceeded above 32 channels,
                RateLimited above one call a second, RequestTimeout, NotLoggedIn, …
        """
        counts: dict[str, int] = self._ask("member_counts", _count(channels), timeout)
        return counts

    def member_counts_future(
        self, channels: str | Iterable[str], timeout: Timeout = None
    ) -> "ClientFuture[dict[str, int]]":
        """Like `member_counts`, without waiting."""
        return self._ask_future("member_counts", _count(channels), timeout)


def _set(channel: str, attributes: Mapping[str, str], notify: bool) -> Request:
    return lambda core, seconds, now: core.channel_info.set_attributes(
        channel, attributes, notify=notify, timeout=seconds, now=now
    )


def _update(channel: str, attributes: Mapping[str, str], notify: bool) -> Request:
    return lambda core, seconds, now: core.channel_info.update_attributes(
        channel, attributes, notify=notify, timeout=seconds, now=now
    )


def _delete(channel: str, keys: str | Iterable[str], notify: bool) -> Request:
    names = listed(keys)
    return lambda core, seconds, now: core.channel_info.delete_attributes(
        channel, names, notify=notify, timeout=seconds, now=now
    )


def _clear(channel: str, notify: bool) -> Request:
    return lambda core, seconds, now: core.channel_info.clear_attributes(
        channel, notify=notify, timeout=seconds, now=now
    )


def _get(channel: str, keys: str | Iterable[str] | None) -> Request:
    names = None if keys is None else listed(keys)
    return lambda core, seconds, now: core.channel_info.get_attributes(
        channel, names, timeout=seconds, now=now
    )


def _count(channels: str | Iterable[str]) -> Request:
    names = listed(channels)
    return lambda core, seconds, now: core.channel_info.count_members(names, timeout=seconds, now=now)
