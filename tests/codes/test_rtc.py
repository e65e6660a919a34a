"""RTC channels: the reasons that their states come with."""

import time
from collections.abc import Callable, Iterator

import attrs
import jwt
import pytest

import rtmsync
from rtmcore.codes import CloseCode, LoginError, RtcConnectionChangeReason
from rtmcore.connection.policy import RTC_POLICY
from rtmcore.service.commands.sessions import Claim
from rtmsync import RtcChannel, RtcConnectionState, RtcStateChanged
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey
from rtmsync.testing import CloseFrame, FaultProxy
from tests.codes.refusing import RefusingEngine
from tests.codes.registry import case
from tests.sync.conftest import MakeRtc
from tests.sync.test_messages import eventually

KEY = TokenKey(b"k" * 32)


@pytest.fixture(scope="module")
def locked() -> Iterator[Server]:
    """A server that wants tokens."""
    config = ServerConfig(apps=[AppKeys(DEV_APP_ID, (KEY,))], port=0, drain_seconds=0.0, rate_limits=False)
    with Server(config) as running:
        yield running


def token(uid: str, *, lives: float = 60, **claims: object) -> str:
    now = int(time.time())
    all_claims = {"aud": DEV_APP_ID, "sub": uid, "iat": now - 60, "exp": now + lives, **claims}
    return jwt.encode(all_claims, KEY.secret, algorithm=KEY.algorithm)


def refused(rtc: RtcChannel, timeout: float = 30.0) -> RtcConnectionChangeReason:
    """The reason of the state that a join ends in that must fail."""
    with pytest.raises(rtmsync.RtmError):
        rtc.join(timeout)
    assert rtc.state is RtcConnectionState.FAILED
    reason = rtc.connection.reason
    assert isinstance(reason, RtcConnectionChangeReason)
    return reason


@pytest.mark.produces(
    RtcConnectionChangeReason.CONNECTING,
    RtcConnectionChangeReason.JOIN_SUCCESS,
    RtcConnectionChangeReason.LEAVE_CHANNEL,
)
def test_a_channel_is_joined_and_left(make_rtc: MakeRtc, name: str) -> None:
    rtc = make_rtc(name, "1")
    with rtc.events(RtcStateChanged) as told:
        rtc.join()
        rtc.leave()
        changes = [change(told) for _ in range(3)]
    assert [reason for _, reason in changes] == [
        RtcConnectionChangeReason.CONNECTING,
        RtcConnectionChangeReason.JOIN_SUCCESS,
        RtcConnectionChangeReason.LEAVE_CHANNEL,
    ]


@pytest.mark.parametrize(
    ("reason", "made"),
    [
        case(RtcConnectionChangeReason.INVALID_TOKEN, lambda uid: "nonsense"),
        case(RtcConnectionChangeReason.TOKEN_EXPIRED, lambda uid: token(uid, lives=-30)),
        case(RtcConnectionChangeReason.REJECTED_BY_SERVER, lambda uid: token(uid, rtm={"rtc": ["another"]})),
    ],
)
def test_a_join_with_a_token_that_does_not_let_in(
    make_rtc: MakeRtc,
    locked: Server,
    name: str,
    reason: RtcConnectionChangeReason,
    made: Callable[[str], str],
) -> None:
    assert refused(make_rtc(name, "1", locked.url, token=made("1"))) is reason


@pytest.mark.produces(RtcConnectionChangeReason.INVALID_APP_ID)
def test_a_join_to_an_app_that_the_server_does_not_hold(make_rtc: MakeRtc, name: str) -> None:
    assert refused(make_rtc(name, "1", app_id="x" * 32)) is RtcConnectionChangeReason.INVALID_APP_ID


@pytest.mark.produces(RtcConnectionChangeReason.INVALID_CHANNEL_NAME)
def test_a_join_of_an_impossible_channel(make_rtc: MakeRtc) -> None:
    assert refused(make_rtc("a/b", "1")) is RtcConnectionChangeReason.INVALID_CHANNEL_NAME


@pytest.mark.produces(RtcConnectionChangeReason.JOIN_FAILED)
def test_a_join_that_nobody_answers(make_rtc: MakeRtc, proxy: FaultProxy, proxied: str, name: str) -> None:
    proxy.refuse()
    assert refused(make_rtc(name, "1", proxied), 0.5) is RtcConnectionChangeReason.JOIN_FAILED


@pytest.mark.produces(RtcConnectionChangeReason.BANNED_BY_SERVER)
def test_a_join_of_one_who_is_banned(
    make_rtc: MakeRtc, refusing: str, engine: RefusingEngine, name: str
) -> None:
    rtc = make_rtc(name, "1", refusing)
    with engine.refuses(Claim, code=LoginError.REJECTED):
        assert refused(rtc) is RtcConnectionChangeReason.BANNED_BY_SERVER


@pytest.mark.produces(RtcConnectionChangeReason.SAME_UID_LOGIN)
def test_the_same_uid_elsewhere(make_rtc: MakeRtc, name: str) -> None:
    older = make_rtc(name, "1")
    older.join()
    make_rtc(name, "1").join()
    older.wait_until(RtcConnectionState.FAILED)
    assert older.connection.reason is RtcConnectionChangeReason.SAME_UID_LOGIN


def change(
    told: "rtmsync.Subscription[RtcStateChanged]",
) -> tuple[RtcConnectionState, RtcConnectionChangeReason]:
    event = told.get()
    assert isinstance(event, RtcStateChanged)
    return event.state, event.reason


@pytest.mark.produces(
    RtcConnectionChangeReason.INTERRUPTED,
    RtcConnectionChangeReason.KEEP_ALIVE_TIMEOUT,
    RtcConnectionChangeReason.RENEW_TOKEN,
    RtcConnectionChangeReason.LOST,
    RtcConnectionChangeReason.REJOIN_SUCCESS,
)
def test_an_outage_has_several_reasons(
    make_rtc: MakeRtc, server: Server, proxy: FaultProxy, proxied: str, name: str
) -> None:
    """The connection of one falls silent, and that of the other is closed; 5 s in place of 10 are called a loss."""
    silent = make_rtc(name, "1", proxied, policy=attrs.evolve(RTC_POLICY, lost_after=5.0))
    silent.join()
    with (
        FaultProxy("127.0.0.1", server.port) as closing,
        make_rtc(name, "2", f"ws://127.0.0.1:{closing.port}") as unheard,
        silent.events(RtcStateChanged) as told,
        unheard.events(RtcStateChanged) as heard,
    ):
        unheard.join()
        assert [change(heard)[0] for _ in range(2)] == [
            RtcConnectionState.CONNECTING,
            RtcConnectionState.CONNECTED,
        ]
        proxy.refuse()
        proxy.blackhole()
        closing.refuse()
        closing.apply(CloseFrame(CloseCode.HEARTBEAT_TIMEOUT))
        assert change(told) == (RtcConnectionState.RECONNECTING, RtcConnectionChangeReason.INTERRUPTED)
        assert change(heard) == (
            RtcConnectionState.RECONNECTING,
            RtcConnectionChangeReason.KEEP_ALIVE_TIMEOUT,
        )
        unheard.renew_token_future("another")
        eventually(lambda: unheard.connection.reason is RtcConnectionChangeReason.RENEW_TOKEN)
        eventually(lambda: silent.connection.reason is RtcConnectionChangeReason.LOST)
        assert silent.state is RtcConnectionState.RECONNECTING
        closing.refuse(on=False)
        proxy.refuse(on=False)
        proxy.heal()
        back = (RtcConnectionState.CONNECTED, RtcConnectionChangeReason.REJOIN_SUCCESS)
        assert change(told) == change(heard) == back
