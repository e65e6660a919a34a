"""Call invitations as one client sees them: those that it sends, and those that it receives."""

import attrs

from rtmcore.codes import (
    LocalInvitationError,
    LocalInvitationState,
    RemoteInvitationError,
    RemoteInvitationState,
)


@attrs.define(eq=False)
class OutgoingInvitation:
    """An invitation that this client sends. Everything but `content` and `channel_id` is for reading.

    The driver may put its own object into `context`.
    """

    callee: str
    content: str = attrs.field(default="", repr=False)
    """What it says, at most `limits.INVITATION_CONTENT_BYTES`; may be changed until it is sent."""
    channel_id: str = ""
    """A channel that the two may use; nobody joins it by himself."""
    state: LocalInvitationState = LocalInvitationState.IDLE
    response: str = attrs.field(default="", repr=False)
    """Of the callee who has accepted or refused."""
    error: LocalInvitationError | None = None
    """Why it failed, in FAILURE."""
    id: str = ""
    """By which both sides know it; empty before it is sent."""
    sent_at: float = 0.0
    """When it was sent, in monotonic seconds."""
    callee_offline: bool = False
    """Whether the callee was offline when the server was asked last."""
    context: object = attrs.field(default=None, repr=False)


@attrs.define(eq=False)
class IncomingInvitation:
    """An invitation to this client's user. Everything is for reading.

    The driver may put its own object into `context`.
    """

    caller: str
    id: str
    content: str = attrs.field(default="", repr=False)
    """What it says."""
    channel_id: str = ""
    """A channel that the two may use; nobody joins it by himself."""
    expires_at: float = 0.0
    """When the caller does not wait any longer, in monotonic seconds of this side."""
    state: RemoteInvitationState = RemoteInvitationState.IDLE
    response: str = attrs.field(default="", repr=False)
    """That this side has given."""
    cancel_content: str = attrs.field(default="", repr=False)
    """What the caller said when it canceled."""
    error: RemoteInvitationError | None = None
    """Why it failed, in FAILURE."""
    accepted_at: float = 0.0
    """When this side accepted, in monotonic seconds."""
    context: object = attrs.field(default=None, repr=False)


Invitation = OutgoingInvitation | IncomingInvitation
"""Either side's."""
