"""Functions that `manage.py rtm_listen` calls with what arrives; they live in the ``rtm_handlers.py`` of an app."""

from collections.abc import Callable
from typing import TypeVar, overload

from django.utils.module_loading import autodiscover_modules

from rtmcore.client.events import StateChanged
from rtmcore.models import ChannelMessage, PeerMessage
from rtmsync.contrib.django.clients import DEFAULT_ALIAS
from rtmsync.contrib.listening import Handlers

E = TypeVar("E")
R = TypeVar("R")

_registered: dict[str, Handlers] = {}


def handlers_of(using: str) -> Handlers:
    """The handlers that are registered for an alias."""
    return _registered.setdefault(using, Handlers())


def discover() -> None:
    """Import the module ``rtm_handlers`` of each installed app that has one."""
    autodiscover_modules("rtm_handlers")


def on(
    event: type[E], *, channel: str | None = None, using: str = DEFAULT_ALIAS
) -> Callable[[Callable[[E], R]], Callable[[E], R]]:
    """Have the listener call a function with each event of a class.

    Args:
        event: A class of events of a client, such as `rtmsync.MemberJoined`.
        channel: Only those of this channel, which the listener joins.
        using: The alias in the setting ``RTM``.

    Raises:
        InvalidArgument: There can be no such channel, or the function is a coroutine function.
    """
    return handlers_of(using).on(event, channel=channel)


def on_channel(
    channel: str, *, using: str = DEFAULT_ALIAS
) -> Callable[[Callable[[ChannelMessage], R]], Callable[[ChannelMessage], R]]:
    """Have the listener join a channel, and call a function with each message to it.

    Args:
        channel: The channel id.
        using: The alias in the setting ``RTM``.
    """
    return handlers_of(using).on_channel(channel)


@overload
def on_peer_message(function: Callable[[PeerMessage], R], /) -> Callable[[PeerMessage], R]: ...
@overload
def on_peer_message(
    *, using: str = DEFAULT_ALIAS
) -> Callable[[Callable[[PeerMessage], R]], Callable[[PeerMessage], R]]: ...
def on_peer_message(
    function: Callable[[PeerMessage], R] | None = None, /, *, using: str = DEFAULT_ALIAS
) -> Callable[[PeerMessage], R] | Callable[[Callable[[PeerMessage], R]], Callable[[PeerMessage], R]]:
    """Have the listener call a function with each message that a user sends to it.

    Args:
        function: The function, where the decorator has no other argument.
        using: The alias in the setting ``RTM``.
    """
    register = handlers_of(using).on_peer_message
    return register if function is None else register(function)


def on_state_changed(function: Callable[[StateChanged], R]) -> Callable[[StateChanged], R]:
    """Have a function called when the listener of the alias ``default`` is in another state."""
    return handlers_of(DEFAULT_ALIAS).on_state_changed(function)
