"""The aggregate state of a client over its transports: `RTCPeerConnection.connectionState` (seed 003) as functions.

Each transport has a link state in ICE's words and, where it is encrypted, a TLS state in DTLS's words. The rules are
those of the W3C (webrtc-pc, RTCPeerConnectionState and RTCIceConnectionState), or the wording of 2021 that the seed
documents.
"""

from collections.abc import Sequence
from enum import Enum
from typing import Final

from rtmcore.codes import DtlsTransportState, IceTransportState, PeerConnectionState
from rtmcore.errors import InvalidArgument

W3C: Final = "w3c"
MDN_2021: Final = "mdn2021"
AGGREGATE_RULES: Final = (W3C, MDN_2021)
"""Names of the rules: today's standard, and the wording of seed 003."""

_Ice = IceTransportState
_Dtls = DtlsTransportState
_Peer = PeerConnectionState

_ICE_IDLE: Final = frozenset({_Ice.NEW, _Ice.CLOSED})
_ICE_COMPLETE: Final = frozenset({_Ice.COMPLETED, _Ice.CLOSED})
_DTLS_IDLE: Final = frozenset({_Dtls.NEW, _Dtls.CLOSED})
_DTLS_DONE: Final = frozenset({_Dtls.CONNECTED, _Dtls.CLOSED})


def ice_connection_state(states: Sequence[IceTransportState], *, closed: bool = False) -> IceTransportState:
    """The state of all links together: the first rule that fits (webrtc-pc, RTCIceConnectionState).

    Args:
        states: Of the links, in any order.
        closed: Whether the client was closed for good.
    """
    found = set(states)
    if closed:
        return _Ice.CLOSED
    for severe in (_Ice.FAILED, _Ice.DISCONNECTED):
        if severe in found:
            return severe
    if found <= _ICE_IDLE:
        return _Ice.NEW
    if _Ice.NEW in found or _Ice.CHECKING in found:
        return _Ice.CHECKING
    return _Ice.COMPLETED if found <= _ICE_COMPLETE else _Ice.CONNECTED


def peer_connection_state(
    ice: Sequence[IceTransportState],
    dtls: Sequence[DtlsTransportState] = (),
    *,
    closed: bool = False,
    rules: str = W3C,
    strict_spec: bool = False,
) -> PeerConnectionState:
    """The aggregate state: the first rule that fits.

    Args:
        ice: Link states of the transports.
        dtls: TLS states of those that are encrypted.
        closed: Whether the client was closed for good.
        rules: `W3C` or `MDN_2021`. They differ where a link is new beside a connected one, where a link is checking
            beside a disconnected one, and where TLS is new on a connected link.
        strict_spec: True takes the standard literally, which calls links that are all completed "connecting"; by
            default they count as connected, as browsers have it.

    Raises:
        InvalidArgument: There are no such rules.
    """
    if rules not in AGGREGATE_RULES:
        raise InvalidArgument(
            f"The rules of the aggregate state are {' or '.join(AGGREGATE_RULES)}, not {rules!r}.",
            operation="peer_connection_state",
        )
    if closed:
        return _Peer.CLOSED
    return _of_2021({*ice, *dtls}) if rules == MDN_2021 else _of_w3c(ice, set(dtls), strict_spec=strict_spec)


def _of_w3c(
    ice: Sequence[IceTransportState], dtls: set[DtlsTransportState], *, strict_spec: bool
) -> PeerConnectionState:
    link = ice_connection_state(ice)
    if link is _Ice.FAILED or _Dtls.FAILED in dtls:
        return _Peer.FAILED
    if link is _Ice.DISCONNECTED:
        return _Peer.DISCONNECTED
    if not (ice or dtls) or (link is _Ice.NEW and dtls <= _DTLS_IDLE):
        return _Peer.NEW
    linked = link is _Ice.CONNECTED or (link is _Ice.COMPLETED and not strict_spec)
    return _Peer.CONNECTED if linked and dtls <= _DTLS_DONE else _Peer.CONNECTING


def _of_2021(found: set[Enum]) -> PeerConnectionState:
    """The flat wording, whose rows overlap: taken in the order that leaves each row a meaning."""
    names = {state.value for state in found}
    if "failed" in names:
        return _Peer.FAILED
    if names & {"checking", "connecting"}:
        return _Peer.CONNECTING
    if "disconnected" in names:
        return _Peer.DISCONNECTED
    return _Peer.NEW if "new" in names or names <= {"closed"} else _Peer.CONNECTED
