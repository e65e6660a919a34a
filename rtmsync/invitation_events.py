"""What happens to call invitations, as the application hears of it."""

from typing import TYPE_CHECKING, ClassVar

import attrs

from rtmcore.codes import LocalInvitationError, RemoteInvitationError
from rtmsync.driver.router import PartEvent

if TYPE_CHECKING:
    from rtmsync.invitation import LocalInvitation, RemoteInvitation


@attrs.frozen
class _OfLocal(PartEvent):
    invitation: "LocalInvitation"

    @property
    def part(self) -> str:
        """Names the invitation among all events of the client."""
        return self.invitation.part


@attrs.frozen
class _OfRemote(PartEvent):
    invitation: "RemoteInvitation"

    @property
    def part(self) -> str:
        """Names the invitation among all events of the client."""
        return self.invitation.part


# --- To the caller ------------------------------------------------------------------------------------------------


@attrs.frozen
class LocalInvitationReceivedByPeer(_OfLocal):
    """The callee's client has acknowledged the invitation: it rings there."""


@attrs.frozen
class LocalInvitationAccepted(_OfLocal):
    """The callee has accepted; the call stands."""

    last: ClassVar[bool] = True

    response: str = attrs.field(repr=False)
    """What the callee says."""


@attrs.frozen
class LocalInvitationRefused(_OfLocal):
    """The callee has refused."""

    last: ClassVar[bool] = True

    response: str = attrs.field(repr=False)
    """What the callee says."""


@attrs.frozen
class LocalInvitationCanceled(_OfLocal):
    """This client has canceled the invitation."""

    last: ClassVar[bool] = True


@attrs.frozen
class LocalInvitationFailure(_OfLocal):
    """The invitation has ended without a decision."""

    last: ClassVar[bool] = True

    code: LocalInvitationError
    """Why."""


# --- To the callee ------------------------------------------------------------------------------------------------


@attrs.frozen
class RemoteInvitationReceived(_OfRemote):
    """Somebody invites this client's user; `invitation` has who, what, and the methods to answer."""

    early: ClassVar[bool] = True


@attrs.frozen
class RemoteInvitationAccepted(_OfRemote):
    """The caller has confirmed the acceptance; the call stands."""

    last: ClassVar[bool] = True


@attrs.frozen
class RemoteInvitationRefused(_OfRemote):
    """This client has refused the invitation."""

    last: ClassVar[bool] = True


@attrs.frozen
class RemoteInvitationCanceled(_OfRemote):
    """The caller has canceled the invitation."""

    last: ClassVar[bool] = True

    content: str = attrs.field(repr=False)
    """What the caller says."""


@attrs.frozen
class RemoteInvitationFailure(_OfRemote):
    """The invitation has ended without a decision, or the acceptance was not confirmed."""

    last: ClassVar[bool] = True

    code: RemoteInvitationError
    """Why."""


LOCAL_EVENTS = (
    LocalInvitationReceivedByPeer,
    LocalInvitationAccepted,
    LocalInvitationRefused,
    LocalInvitationCanceled,
    LocalInvitationFailure,
)
"""Events of an invitation that this client has sent."""

REMOTE_EVENTS = (
    RemoteInvitationReceived,
    RemoteInvitationAccepted,
    RemoteInvitationRefused,
    RemoteInvitationCanceled,
    RemoteInvitationFailure,
)
"""Events of an invitation to this client."""

INVITATION_EVENTS = (*LOCAL_EVENTS, *REMOTE_EVENTS)
"""All of them."""
