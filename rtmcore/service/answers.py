"""What a client is told where its request has just a result, and nothing else to be seen to."""

from collections.abc import Callable
from typing import Any, Final

import attrs

from rtmcore.limits import PAGE_BYTES
from rtmcore.service.commands.attributes import (
    Attributes,
    ChangeAttributes,
    ChangeChannelAttributes,
    ChannelAttributes,
    ChannelAttributeValue,
    ReadAttributes,
    ReadChannelAttributes,
    WriteAttributes,
)
from rtmcore.service.commands.channels import CountMembers, Counts, JoinChannel, LeaveChannel, ListMembers
from rtmcore.service.commands.history import Kept, ReadHistory
from rtmcore.service.commands.inboxes import DropStored, ListStored
from rtmcore.service.commands.messages import PeerSend, PublishMessage
from rtmcore.service.commands.presence import (
    ListSubscriptions,
    QueryPresence,
    States,
    SubscribePresence,
    UnsubscribePresence,
    UserNames,
)
from rtmcore.service.commands.results import Settled
from rtmcore.wire.packets import (
    AttributeList,
    ChannelAttributeList,
    Done,
    FlushStored,
    GetAttributes,
    GetChannelAttributes,
    GetMemberCounts,
    GetStored,
    GetSubscriptions,
    KeptMessage,
    MemberCounts,
    MessagePage,
    OnlineList,
    Packet,
    QueryHistory,
    QueryOnline,
    SetAttributes,
    SetChannelAttributes,
    Subscribe,
    Unsubscribe,
    UpdateAttributes,
    UpdateChannelAttributes,
    UserList,
    WrittenAttribute,
)

RequestCommand = (
    PeerSend
    | PublishMessage
    | JoinChannel
    | LeaveChannel
    | ListMembers
    | SubscribePresence
    | UnsubscribePresence
    | WriteAttributes
    | ChangeAttributes
    | ReadAttributes
    | ChangeChannelAttributes
    | ReadChannelAttributes
    | CountMembers
    | QueryPresence
    | ListSubscriptions
    | ListStored
    | DropStored
    | ReadHistory
)
"""Commands that carry out a request of a client."""


def attributes_by_key(
    attributes: tuple[tuple[str, ChannelAttributeValue], ...],
) -> dict[str, WrittenAttribute]:
    """The attributes of a channel as packets have them."""
    return {key: WrittenAttribute(one.value, one.user, one.at // 1000) for key, one in attributes}


def _page(number: int, kept: Kept) -> MessagePage:
    """As many of the messages as fit into a frame; the client asks for the rest."""
    messages: list[KeptMessage] = []
    left = PAGE_BYTES
    for one in kept.messages:
        left -= len(one.body)
        if left < 0 and messages:
            break
        messages.append(KeptMessage(one.id, one.source, one.destination, one.kind, one.body, one.channel))
    return MessagePage(number, messages, kept.count)


@attrs.frozen
class _Telling:
    """How a result is told."""

    requests: tuple[type[Any], ...]
    """Whose result it can be: classes of packets."""
    value: type[Any]
    packet: Callable[[int, Any], Packet]
    """Makes the answer of a request id and the value."""


def _done(*requests: type[Any]) -> _Telling:
    return _Telling(requests, Settled, lambda number, _: Done(number))


_TELLINGS: Final[dict[type[Any], _Telling]] = {
    SubscribePresence: _done(Subscribe),
    UnsubscribePresence: _done(Unsubscribe),
    WriteAttributes: _done(SetAttributes),
    ChangeAttributes: _done(UpdateAttributes),
    ChangeChannelAttributes: _done(SetChannelAttributes, UpdateChannelAttributes),
    DropStored: _done(FlushStored),
    ReadAttributes: _Telling(
        (GetAttributes,), Attributes, lambda number, value: AttributeList(number, dict(value.attributes))
    ),
    ReadChannelAttributes: _Telling(
        (GetChannelAttributes,),
        ChannelAttributes,
        lambda number, value: ChannelAttributeList(number, attributes_by_key(value.attributes)),
    ),
    CountMembers: _Telling(
        (GetMemberCounts,), Counts, lambda number, value: MemberCounts(number, dict(value.counts))
    ),
    QueryPresence: _Telling(
        (QueryOnline,),
        States,
        lambda number, value: OnlineList(number, {user: int(state) for user, state in value.states}),
    ),
    ListSubscriptions: _Telling(
        (GetSubscriptions,), UserNames, lambda number, value: UserList(number, list(value.users))
    ),
    ListStored: _Telling((GetStored,), Kept, _page),
    ReadHistory: _Telling((QueryHistory,), Kept, _page),
}
"""By class of the command."""


def answer_to(command: RequestCommand, request: type[Any], value: object) -> Packet | None:
    """What a client is told of the engine's answer.

    Args:
        command: The command.
        request: The class of the packet that it carries out.
        value: The engine's answer, which is no refusal.

    Returns:
        None where that is no answer to such a request: the client has used an id twice.
    """
    telling = _TELLINGS.get(command.__class__)
    if telling is None or request not in telling.requests or not isinstance(value, telling.value):
        return None
    return telling.packet(command.cmid, value)
