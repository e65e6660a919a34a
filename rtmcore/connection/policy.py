"""The figures by which a connection is judged, one value for each of the documented models."""

from typing import Final

import attrs

from rtmcore.connection.backoff import BackoffPolicy
from rtmcore.limits import (
    INTERRUPTED_AFTER,
    LOGIN_ATTEMPT_TIMEOUT,
    LOGIN_TIMEOUT,
    OFFLINE_AFTER,
    RESTORE_TIMEOUT,
    SPARE_TRANSPORT_AFTER,
)


@attrs.frozen(kw_only=True)
class Policy:
    """When a connection counts as interrupted, and what is done about it. All times are seconds.

    Attributes:
        login_timeout: For a login as a whole, unless the call says otherwise.
        attempt_timeout: For one attempt: name look-up, TCP, TLS, upgrade, token, welcome.
        interrupted_after: Silence after which the state changes. The server's welcome may announce another.
        spare_after: Silence after which a transport is opened beside the silent one; part of `interrupted_after`.
        session_over_after: Silence after which the server has ended the session. The welcome may announce another.
        restore_timeout: From the welcome until the session counts as restored without having heard so.
        backoff: The waits between attempts.
    """

    login_timeout: float = LOGIN_TIMEOUT
    attempt_timeout: float = LOGIN_ATTEMPT_TIMEOUT
    interrupted_after: float = INTERRUPTED_AFTER
    spare_after: float = SPARE_TRANSPORT_AFTER
    session_over_after: float = OFFLINE_AFTER
    restore_timeout: float = RESTORE_TIMEOUT
    backoff: BackoffPolicy = attrs.Factory(BackoffPolicy)


RTM_POLICY: Final = Policy()
"""RTM, the default: logs in within 12 s, is interrupted after 4 s of silence, never gives up reconnecting."""
