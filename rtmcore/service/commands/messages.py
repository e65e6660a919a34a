"""Sending messages: to the inbox of a user, or to the log of a channel."""

import attrs

from rtmcore.service.commands.names import Name, Session


@attrs.define
class PeerSend:
    """Put a message into the inbox of a user. Answered by `PeerOutcome`, late where the peer must acknowledge."""

    session: Session
    iid: str
    cmid: int
    floor: int
    to: str
    kind: int
    body: bytes = attrs.field(repr=False)
    offline: bool
    wait: float
    """Seconds that the sender waits."""
    history: bool = False
    """Keep it in the history: on the disk before the answer."""
    ttl: float | None = None
    """Seconds after which a stored message is dropped; None for the documented 7 days."""


@attrs.frozen
class SendAs:
    """Put a message into the inbox of a user on behalf of a name that need not be logged in. No session needed.

    Whoever asks has judged the permission. Answered by `PeerOutcome`, `Accepted` or `Refusal`; a command with the key
    of one of the last `limits.IDEMPOTENCY_SECONDS` is not carried out, and gets that one's answer if it asks for the
    same, otherwise KEY_IN_USE.
    """

    number: int
    """Tells the commands of a node apart."""
    name: Name
    """The sender."""
    key: str = attrs.field(repr=False)
    to: str
    kind: int
    body: bytes = attrs.field(repr=False)
    offline: bool
    acknowledged: bool
    """Whether a receiver who is online has to acknowledge the message before the answer."""
    wait: float
    """Seconds that the sender waits."""
    history: bool = False
    ttl: float | None = None


@attrs.define
class PublishMessage:
    """Append a message to the log of a channel. Answered by `Logged` or `Refusal`."""

    session: Session
    iid: str
    cmid: int
    floor: int
    channel: str
    kind: int
    body: bytes = attrs.field(repr=False)
    history: bool = False
    """Keep it in the history: on the disk before the answer."""


@attrs.frozen
class PublishAs:
    """Append a message to the log of a channel on behalf of a name that need not be a member. No session needed.

    Answered by `Logged` or `Refusal`, and repeated as `SendAs` is.
    """

    number: int
    name: Name
    """The author."""
    key: str = attrs.field(repr=False)
    channel: str
    kind: int
    body: bytes = attrs.field(repr=False)
    history: bool = False


@attrs.define
class PeerOutcome:
    """What became of a peer message: DELIVERED 0, PEER_UNREACHABLE 3 or CACHED 4."""

    code: int
    id: int = 0


@attrs.frozen
class Accepted:
    """A message is in the inbox of a user who is online; nobody waits for his acknowledgement."""


@attrs.define
class Logged:
    """A message was appended to a channel's log."""

    id: int
    prev: int
