"""What a client asks and writes about channels without being in them: their attributes and member counts."""

from collections.abc import Iterable, Mapping
from typing import Final

from rtmcore import models
from rtmcore.arguments import explain_invalid_channels
from rtmcore.client.calls import (
    Calls,
    attributes_size,
    check_channel,
    checked_attributes,
    checked_keys,
    checked_list,
    keys_size,
    names_size,
    refuse,
)
from rtmcore.client.requests import (
    CLEAR_CHANNEL_ATTRIBUTES,
    DELETE_CHANNEL_ATTRIBUTES,
    GET_CHANNEL_ATTRIBUTES,
    MEMBER_COUNTS,
    SET_CHANNEL_ATTRIBUTES,
    UPDATE_CHANNEL_ATTRIBUTES,
    Operation,
    Requests,
    Ticket,
)
from rtmcore.limits import OPERATION_TIMEOUT
from rtmcore.wire.packets import (
    ChannelAttributeList,
    GetChannelAttributes,
    GetMemberCounts,
    MemberCounts,
    SetChannelAttributes,
    UpdateChannelAttributes,
    WrittenAttribute,
)

_MILLISECONDS: Final = 1000


def read_attributes(attributes: Mapping[str, WrittenAttribute]) -> dict[str, models.ChannelAttribute]:
    """Attributes of a channel as applications see them."""
    return {
        key: models.ChannelAttribute(found.value, found.user, found.at / _MILLISECONDS)
        for key, found in attributes.items()
    }


class ChannelInfo:
    """The attributes and member counts of channels. The client need not be a member.

    The attributes of a channel outlast its last member, and a restart of the server, for
    `limits.CHANNEL_ATTRIBUTES_GRACE`. Each write can tell all members of the channel, by a `ChannelAttributesUpdated`.

    Args:
        calls: Makes requests.
        requests: Gives them their ids.
    """

    def __init__(self, calls: Calls, requests: Requests) -> None:
        self._calls = calls
        self._requests = requests

    def set_attributes(
        self,
        channel: str,
        attributes: Mapping[str, str],
        *,
        notify: bool = False,
        timeout: float = OPERATION_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Replace all attributes of a channel; an empty mapping clears them. The ticket's value is None.

        Args:
            channel: 1 to 64 bytes of the documented characters.
            attributes: Value by key: at most `limits.CHANNEL_ATTRIBUTES`, keys of 1 to `limits.ATTRIBUTE_KEY_BYTES`
                visible characters, values of 1 to `limits.ATTRIBUTE_VALUE_BYTES`, together at most
                `limits.CHANNEL_ATTRIBUTES_BYTES`.
            notify: Tell all members.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The channel, a key or a value is not valid (3).
            LimitExceeded: They are too many or too large (4), or too much waits for an answer.
            RateLimited: More than `limits.CHANNEL_ATTRIBUTES_WRITE_RATE` (5), of whatever channels.
        """
        self._begin(SET_CHANNEL_ATTRIBUTES, channel, now)
        copied = checked_attributes(self._calls, SET_CHANNEL_ATTRIBUTES, attributes, of_channel=True)
        return self._replace(SET_CHANNEL_ATTRIBUTES, channel, copied, notify, timeout, now)

    def clear_attributes(
        self, channel: str, *, notify: bool = False, timeout: float = OPERATION_TIMEOUT, now: float
    ) -> Ticket:
        """Delete all attributes of a channel. The ticket's value is None.

        Args:
            channel: 1 to 64 bytes of the documented characters.
            notify: Tell all members.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The channel's id is not valid (3).
            LimitExceeded: Too much waits for an answer already.
            RateLimited: More than `limits.CHANNEL_ATTRIBUTES_WRITE_RATE` (5), of whatever channels.
        """
        self._begin(CLEAR_CHANNEL_ATTRIBUTES, channel, now)
        return self._replace(CLEAR_CHANNEL_ATTRIBUTES, channel, {}, notify, timeout, now)

    def update_attributes(
        self,
        channel: str,
        attributes: Mapping[str, str],
        *,
        notify: bool = False,
        timeout: float = OPERATION_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Add some attributes of a channel, or change them; the others stay. The ticket's value is None.

        Args:
            channel: 1 to 64 bytes of the documented characters.
            attributes: Value by key, as for `set_attributes`; the limits hold for all together.
            notify: Tell all members.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The channel, a key or a value is not valid (3).
            LimitExceeded: They are too many or too large (4), or too much waits for an answer.
            RateLimited: More than `limits.CHANNEL_ATTRIBUTES_WRITE_RATE` (5), of whatever channels.
        """
        operation = UPDATE_CHANNEL_ATTRIBUTES
        self._begin(operation, channel, now)
        changed = checked_attributes(self._calls, operation, attributes, of_channel=True)
        size = attributes_size(changed)
        self._calls.admit(operation, size, now)
        packet = UpdateChannelAttributes(self._requests.next_id(), channel, changed, notify=bool(notify))
        return self._calls.request(operation, packet, size, timeout, now)

    def delete_attributes(
        self,
        channel: str,
        keys: Iterable[str],
        *,
        notify: bool = False,
        timeout: float = OPERATION_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Delete some attributes of a channel. The ticket's value is None; unknown keys are no error.

        Args:
            channel: 1 to 64 bytes of the documented characters.
            keys: Of the attributes, 1 to `limits.CHANNEL_ATTRIBUTES`.
            notify: Tell all members.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The channel or a key is not valid, or there is no key (3).
            LimitExceeded: Too many keys (4), or too much waits for an answer.
            RateLimited: More than `limits.CHANNEL_ATTRIBUTES_WRITE_RATE` (5), of whatever channels.
        """
        operation = DELETE_CHANNEL_ATTRIBUTES
        self._begin(operation, channel, now)
        deleted = checked_keys(self._calls, operation, keys, of_channel=True)
        size = keys_size(deleted)
        self._calls.admit(operation, size, now)
        packet = UpdateChannelAttributes(
            self._requests.next_id(), channel, deleted=deleted, notify=bool(notify)
        )
        return self._calls.request(operation, packet, size, timeout, now)

    def get_attributes(
        self,
        channel: str,
        keys: Iterable[str] | None = None,
        *,
        timeout: float = OPERATION_TIMEOUT,
        now: float,
    ) -> Ticket:
        """Ask for the attributes of a channel. The ticket's value is a dict of `models.ChannelAttribute` by key.

        Args:
            channel: 1 to 64 bytes of the documented characters.
            keys: Only these, as far as there are such; None for all.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: The channel or a key is not valid (3).
            LimitExceeded: Too many keys (4), or too much waits for an answer.
            RateLimited: More than `limits.CHANNEL_ATTRIBUTES_READ_RATE` (5), of whatever channels.
        """
        operation = GET_CHANNEL_ATTRIBUTES
        self._begin(operation, channel, now)
        listed = None if keys is None else checked_keys(self._calls, operation, keys, of_channel=True)
        size = keys_size(listed or ())
        self._calls.admit(operation, size, now)
        packet = GetChannelAttributes(self._requests.next_id(), channel, listed)
        return self._calls.request(operation, packet, size, timeout, now)

    def count_members(
        self, channels: Iterable[str], *, timeout: float = OPERATION_TIMEOUT, now: float
    ) -> Ticket:
        """Ask how many members channels have. The ticket's value is a dict of the number by channel id.

        Args:
            channels: 1 to `limits.MEMBER_COUNT_CHANNELS` channel ids. One that nobody is in has 0 members.
            timeout: Total time in seconds.
            now: Monotonic seconds.

        Raises:
            ClientClosed, NotLoggedIn, Aborted: There is no session (101, 102).
            InvalidArgument: A channel's id is not valid, or there is none (2).
            LimitExceeded: Too many channels (5), or too much waits for an answer.
            RateLimited: More than `limits.MEMBER_COUNT_RATE` (3).
        """
        self._calls.begin(MEMBER_COUNTS, now)
        names = checked_list(self._calls, MEMBER_COUNTS, channels, "Channels")
        refuse(self._calls, MEMBER_COUNTS, explain_invalid_channels(names, self._calls.sizes))
        names = list(dict.fromkeys(names))
        size = names_size(names)
        self._calls.admit(MEMBER_COUNTS, size, now)
        packet = GetMemberCounts(self._requests.next_id(), names)
        return self._calls.request(MEMBER_COUNTS, packet, size, timeout, now)

    # --- Answers ------------------------------------------------------------------------------------------------

    def attribute_list(self, packet: ChannelAttributeList, _: float) -> None:
        """The server has answered what attributes a channel has."""
        ticket = self._requests.get(packet.i)
        if ticket is not None and ticket.operation is GET_CHANNEL_ATTRIBUTES:
            self._requests.succeed(ticket, read_attributes(packet.attributes))

    def member_counts(self, packet: MemberCounts, _: float) -> None:
        """The server has answered how many members channels have."""
        ticket = self._requests.get(packet.i)
        if ticket is not None and isinstance(ticket.packet, GetMemberCounts):
            counts = {name: packet.counts.get(name, 0) for name in ticket.packet.channels}
            self._requests.succeed(ticket, counts)

    def _begin(self, operation: Operation, channel: object, now: float) -> None:
        self._calls.begin(operation, now)
        check_channel(self._calls, operation, channel)

    def _replace(
        self,
        operation: Operation,
        channel: str,
        attributes: dict[str, str],
        notify: bool,
        timeout: float,
        now: float,
    ) -> Ticket:
        size = attributes_size(attributes)
        self._calls.admit(operation, size, now)
        packet = SetChannelAttributes(self._requests.next_id(), channel, attributes, bool(notify))
        return self._calls.request(operation, packet, size, timeout, now)
