"""What is known of a session: what the server said in its welcome, and what a hello says in return."""

from collections.abc import Sequence
from typing import Final, Protocol

import attrs

from rtmcore.client.config import ClientConfig
from rtmcore.client.links import Link
from rtmcore.errors import RtmError
from rtmcore.wire.packets import Bye, ChannelPosition, Hello, Packet, Refused, Welcome

_MILLISECONDS: Final = 1000
_TOKEN_POLICY_ABORT: Final = "abort"


@attrs.define
class Positions:
    """What a hello says of a client's place in its logs and of its requests."""

    inbox: int | None
    channels: list[ChannelPosition]
    floor: int


class SessionParts(Protocol):
    """What depends on the session, and is told of it."""

    def positions(self, link: Link, *, returning: bool) -> Positions:
        """Say where the client stands, for the hello of a transport."""

    def welcomed(self, link: Link, welcome: Welcome, *, new_epoch: bool, now: float) -> None:
        """A transport carries the session: write on it, beginning with what has no answer."""

    def packets(self, link: Link, packets: Sequence[Packet], now: float) -> None:
        """Packets came on the transport that carries the session; may raise `RemoteProtocolError`."""

    def connected(self, now: float) -> None:
        """The session stands on the transport that carries it."""

    def detached(self) -> None:
        """No transport carries the session."""

    def bytes_refused(self, link: Link, error: RtmError) -> None:
        """The server called malformed or too large what was written on a transport."""

    def goodbye(self, packet: Bye, now: float) -> None:
        """Write a goodbye on the transport that carries the session, with what waits."""

    def session_over(self) -> None:
        """The session has ended: nothing that belongs to it goes on."""

    def token_refused(self, number: int, refusal: Refused) -> None:
        """A hello was refused because of the token that the application had handed over."""

    @property
    def restoring(self) -> bool:
        """Whether something is brought back after a return that the server has not answered yet."""

    def link_changed(self) -> None:
        """The state of the link, or of its TLS, may be another one now."""


class SessionFacts:
    """The server's figures, and what brings a session back.

    Args:
        config: The client's settings.
        iid: Names this client object to the server.

    Attributes:
        fence: Of the session; None without one.
        resumed: Whether the last welcome went on with the session, instead of beginning one.
        media: What opens the media connection of a room session; None for other kinds.
        beat: Seconds after which a silent side sends a beat; 0 where the server does not say.
        aborts_on_expiry: Whether the server ends connected sessions whose token expires.
        interrupted_after: Seconds of silence after which the state changes.
        spare_after: Seconds of silence after which a transport is opened beside the silent one.
        over_after: Seconds of silence after which the server has ended the session.
    """

    def __init__(self, config: ClientConfig, iid: str) -> None:
        self._config = config
        self._iid = iid
        self._secret: str | None = None
        self._epoch: str | None = None
        self.fence: int | None = None
        self.resumed = False
        self.media: str | None = None
        self.beat = 0.0
        self.aborts_on_expiry = False
        self.interrupted_after = config.policy.interrupted_after
        self.spare_after = config.policy.spare_after
        self.over_after = config.policy.session_over_after

    def hello(self, attempt: int, token: str | None, positions: Positions, *, returning: bool) -> Hello:
        """The first packet of a transport."""
        config = self._config
        return Hello(
            app=config.app_id,
            user=config.user_id,
            token=token,
            iid=self._iid,
            attempt=attempt,
            login=not returning,
            fence=self.fence if returning else None,
            secret=self._secret if returning else None,
            inbox=positions.inbox,
            channels=positions.channels,
            floor=positions.floor,
            window=config.inbox_window,
            window_bytes=config.inbox_window_bytes,
            kind=config.kind,
            scope=config.scope,
            replay_total=config.replay_total,
            sdk=config.sdk,
        )

    def take(self, welcome: Welcome) -> bool:
        """Note what the server says; a figure of 0 leaves the policy's.

        Returns:
            True where the server has lost its memory of members and windows since the last welcome.
        """
        policy = self._config.policy
        new_epoch = self._epoch is not None and welcome.epoch != self._epoch
        self.fence, self._secret, self._epoch = welcome.fence, welcome.secret, welcome.epoch
        self.resumed, self.media = welcome.resumed, welcome.media
        self.beat = welcome.beat / _MILLISECONDS
        self.aborts_on_expiry = welcome.token_policy == _TOKEN_POLICY_ABORT
        self.interrupted_after = welcome.interrupted / _MILLISECONDS or policy.interrupted_after
        self.spare_after = self.interrupted_after * policy.spare_after / policy.interrupted_after
        self.over_after = welcome.offline / _MILLISECONDS or policy.session_over_after
        return new_epoch

    def forget(self) -> None:
        """The session is over: nothing brings it back."""
        self.fence = self._secret = self._epoch = self.media = None
