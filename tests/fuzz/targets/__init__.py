"""Everything that takes bytes from somebody else."""

from rtmcore.wire.codec import JSON, MSGPACK
from tests.fuzz.harness import Target
from tests.fuzz.targets.bodies import HttpAnswersTarget, HttpPiecesTarget
from tests.fuzz.targets.client import ClientTarget
from tests.fuzz.targets.exchange import HttpClientTarget, HttpServerTarget
from tests.fuzz.targets.invitations import InvitationTarget
from tests.fuzz.targets.journal import JournalTarget
from tests.fuzz.targets.node import NodeTarget
from tests.fuzz.targets.settings import UrlTarget
from tests.fuzz.targets.tokens import AccessTokenTarget, TokenTarget
from tests.fuzz.targets.transfers import FileMessageTarget, TransferTarget
from tests.fuzz.targets.transport import ClientTransportTarget, ServerTransportTarget
from tests.fuzz.targets.wire import (
    ClientHandshakeTarget,
    CodecTarget,
    FramingTarget,
    ProxyTarget,
    ServerHandshakeTarget,
)


def targets() -> list[Target]:
    """One of each."""
    return [
        CodecTarget(MSGPACK),
        CodecTarget(JSON),
        FramingTarget(client=True, codec=MSGPACK),
        FramingTarget(client=True, codec=JSON),
        FramingTarget(client=False, codec=MSGPACK),
        FramingTarget(client=False, codec=JSON),
        ClientHandshakeTarget(),
        ServerHandshakeTarget(),
        ProxyTarget(),
        HttpServerTarget(),
        HttpClientTarget(),
        HttpPiecesTarget(),
        HttpAnswersTarget(),
        ClientTransportTarget(),
        ServerTransportTarget(),
        ClientTarget(),
        NodeTarget(),
        TokenTarget(),
        AccessTokenTarget(),
        JournalTarget(),
        InvitationTarget(),
        UrlTarget(),
        TransferTarget(up=True),
        TransferTarget(up=False),
        FileMessageTarget(),
    ]
