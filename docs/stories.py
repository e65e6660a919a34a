"""The stories that docs/timelines.py plays: the failure scenarios, one after the other."""

from typing import Any

from docs.timelines import TEXT, Stage, story
from rtmcore.codes import ConnectionState
from tests.simulation.hosts import MEDIA_LINKS, ClientHost
from tests.simulation.tokens import make_token

# --- RTM --------------------------------------------------------------------------------------------------------


@story(
    "The connection is reset, the network is fine",
    "A new connection is there at once. No state changes, and nobody notices.",
)
def reset() -> Stage:
    stage = Stage()
    alice, _ = stage.enter("alice", "bob", channel="ops")
    stage.tell("alice", "reset")
    alice.reset()
    stage.run_for(10)
    return stage


@story(
    "A black hole of 5 seconds",
    "Alice is RECONNECTING at 4 seconds of silence, which began with the last byte before the hole. Bob sees nothing: "
    "less than 6 seconds.",
)
def hole_5_s() -> Stage:
    return _hole(5)


@story(
    "A black hole of 15 seconds",
    "Bob sees Alice UNREACHABLE at 6 seconds of silence, and ONLINE when she is back. She has never left the channel. "
    "His message waits for her. His call waits 10 seconds, and ends with an unknown outcome; the message arrives.",
)
def hole_15_s() -> Stage:
    return _hole(15)


@story(
    "A black hole of 45 seconds",
    "At 30 seconds the session is over: Bob sees Alice OFFLINE and leaving. When the network is back she returns by "
    "herself, with a new session. Bob sees her join.",
)
def hole_45_s() -> Stage:
    return _hole(45)


def _hole(seconds: float) -> Stage:
    stage = Stage()
    alice, bob = stage.enter("alice", "bob", channel="ops")
    stage.run_for(2)
    stage.lose(alice, seconds)
    stage.run_for(2)
    bob.call("send_peer", "alice", TEXT, b"hello")
    stage.run_for(seconds + 15)
    return stage


@story(
    "100 messages to the channel during an outage of 10 seconds",
    "Alice gets the newest 32, and a ChannelGap that counts the others.",
)
def channel_gap() -> Stage:
    stage = Stage()
    alice, bob = stage.enter("alice", "bob", channel="ops")
    stage.break_off(alice, 10)
    for number in range(100):
        stage.at(stage.time + 1 + number / 20, bob.call, "publish", "ops", TEXT, b"%d" % number)
    stage.run_for(20)
    return stage


@story(
    "An outage in a silent channel",
    "Nothing was said, so nothing is lost and nothing is told. Two seconds change no state.",
)
def silent_channel() -> Stage:
    stage = Stage()
    alice, _ = stage.enter("alice", "bob", channel="ops")
    stage.run_for(60)
    stage.lose(alice, 2)
    stage.run_for(10)
    return stage


@story(
    "Five breaks in a row",
    "Each message arrives once, whatever breaks meanwhile.",
)
def five_breaks() -> Stage:
    stage = Stage()
    alice, bob = stage.enter("alice", "bob", channel="ops")
    for number in range(5):
        bob.call("send_peer", "alice", TEXT, b"%d" % number)
        alice.reset()
        stage.run_for(1.0)
    stage.run_for(5)
    return stage


@story(
    "The answer to a message is lost",
    "Alice's client asks again on the next connection with the same number. Bob has the message once, and she gets one "
    "answer.",
)
def lost_answer() -> Stage:
    stage = Stage()
    alice, _ = stage.enter("alice", "bob")
    alice.call("send_peer", "bob", TEXT, b"hello")
    alice.hole(3, up=False)
    alice.cut(down=1)
    stage.run_for(12)
    return stage


@story(
    "The answer is lost, and the way back takes too long",
    "After 10 seconds the call ends: the outcome is unknown. Nothing is sent again later. Bob has the message.",
)
def lost_answer_for_long() -> Stage:
    stage = Stage()
    alice, _ = stage.enter("alice", "bob")
    stage.lose(alice, 20)
    alice.weather.hole_up = 0.0
    for wire in alice.wires.values():
        wire.up.release(stage.now)
    alice.call("send_peer", "bob", TEXT, b"hello")
    stage.run_for(30)
    return stage


@story(
    "The receiver crashes before its application has the message",
    "Bob's new process gets it. Only then is it delivered for Alice.",
)
def crash_before_acknowledgement() -> Stage:
    stage = Stage()
    alice, bob = stage.enter("alice", "bob")
    bob.take_on(None)
    alice.call("send_peer", "bob", TEXT, b"hello", offline=True)
    stage.run_for(1)
    stage.tell("bob", "crash")
    bob.crash()
    stage.run_for(2)
    again = stage.appear(stage.client("bob"), "bob's next process")
    again.call("login")
    stage.run_for(10)
    return stage


@story(
    "The same user logs in elsewhere",
    "The older client is ABORTED at once and stays so. For Bob she is online all the time; the new client is in no "
    "channel, so he sees her leave.",
)
def second_login() -> Stage:
    stage = Stage(nodes=("n1", "n2"))
    stage.enter("alice", "bob", channel="ops")
    stage.run_for(2)
    other = stage.appear(stage.client("alice"), "alice elsewhere")
    other.call("login")
    stage.run_for(10)
    return stage


@story(
    "The same user logs in elsewhere while the first is away",
    "The return of the first is refused: it never takes the name from a newer login.",
)
def second_login_while_away() -> Stage:
    stage = Stage(nodes=("n1", "n2"))
    alice, _ = stage.enter("alice", "bob")
    stage.lose(alice, 12)
    stage.run_for(5)
    other = stage.appear(stage.client("alice"), "alice elsewhere")
    other.call("login")
    stage.run_for(15)
    return stage


@story(
    "Two logins of one user at the same moment",
    "One survives, the other is ABORTED. Neither comes back by itself.",
)
def two_logins_at_once() -> Stage:
    stage = Stage(nodes=("n1", "n2"))
    clients = [stage.appear(stage.client("alice"), name) for name in ("alice here", "alice there")]
    for client in clients:
        client.call("login")
    stage.run_for(10)
    return stage


@story(
    "A client stops reading while its channel is busy",
    "Alice's machine stands still for 12 seconds. What waits for her is bounded: the server gives the connection up. "
    "She comes back, and a ChannelGap counts what she missed. Bob's messages are not held up.",
)
def slow_consumer() -> Stage:
    stage = Stage()
    alice, bob = stage.enter("alice", "bob", channel="ops")
    stage.tell("alice", "stands still")
    alice.suspend(12)
    for number in range(400):
        body = b"%d" % number + b"x" * 32_000
        stage.at(stage.time + number / 50, bob.call, "publish", "ops", TEXT, body)
    stage.run_for(25)
    return stage


@story(
    "The word of the kick is lost",
    "After 3 seconds of silence the older client opens another connection beside the silent one, and learns it there.",
)
def lost_kick() -> Stage:
    stage = Stage(nodes=("n1", "n2"))
    (alice,) = stage.enter("alice")
    stage.run_for(2)
    stage.tell("alice", "bytes are swallowed")
    alice.swallow(up=False, down=True)
    other = stage.appear(stage.client("alice"), "alice elsewhere")
    other.call("login")
    stage.run_for(10)
    return stage


@story(
    "Two programs that log in whenever they are kicked",
    "This is what nothing in the library does by itself. The rate of logins, 2 a second for one user after a burst "
    "of 4, holds them back.",
)
def login_loop() -> Stage:
    stage = Stage(nodes=("n1", "n2"))
    stage.side.settings["rate_limits"] = True
    stage.side.stop()
    stage.side.start()
    clients = [stage.appear(stage.client("alice"), name) for name in ("alice here", "alice there")]
    for client in clients:
        _insist(stage, client, stage.time + 1.6)
    stage.run_for(2)
    return stage


def _insist(stage: Stage, client: ClientHost, until: float) -> None:
    """An application that logs in again and again."""
    if stage.time > until:
        return
    if client.core.state is ConnectionState.ABORTED:
        client.call("logout")
    elif client.core.state is ConnectionState.DISCONNECTED:
        client.call("login")
    stage.at(stage.time + 0.1, _insist, stage, client, until)


@story(
    "The token expires while connected: policy keep",
    "Two events, nothing else: one 30 seconds before, one when it is over.",
)
def token_expires_keep() -> Stage:
    return _expiring_token("keep")


@story(
    "The token expires while connected: policy abort",
    "The session ends, and stays so until logout.",
)
def token_expires_abort() -> Stage:
    return _expiring_token("abort")


def _expiring_token(policy: str) -> Stage:
    stage = Stage(token_policy=policy)
    alice = stage.appear(stage.client("alice", token=_token(stage, 40)))
    alice.call("login")
    stage.run_for(60)
    return stage


@story(
    "The token expires during an outage",
    "The session is over when the network is back, and the token too: the return is refused until there is a new one. "
    "With `renew_token` it succeeds at once.",
)
def token_expires_away() -> Stage:
    stage = Stage()
    alice = stage.appear(stage.client("alice", token=_token(stage, 40)))
    alice.call("login")
    stage.run_for(15)
    stage.lose(alice, 40)
    stage.run_for(55)
    stage.tell("alice", "renew_token")
    alice.call("renew_token", _token(stage, 600))
    stage.run_for(10)
    return stage


def _token(stage: Stage, seconds: float) -> str:
    return make_token("alice", stage.wall // 1000 + round(seconds * 1000))


# --- RTC --------------------------------------------------------------------------------------------------------


@story(
    "RTC: an outage of 12 seconds",
    "Interrupted at 4 seconds (T4), lost at 10 (T5), joined again when the network is back. The other user sees "
    "nothing: less than 20 seconds.",
)
def rtc_12_s() -> Stage:
    return _rtc(12, 20)


@story(
    "RTC: an outage of 30 seconds",
    "The other user is told at 20 seconds (T6): offline, dropped. After the return the user has joined again.",
)
def rtc_30_s() -> Stage:
    return _rtc(30, 40)


@story(
    "RTC: an outage of 21 minutes",
    "After 20 minutes the client gives up (T7): FAILED, until the application leaves the channel.",
)
def rtc_21_min() -> Stage:
    return _rtc(1260, 1300)


def _rtc(seconds: float, whole: float) -> Stage:
    stage = Stage()
    one, two = (stage.appear(stage.client(uid, kind="rtc", scope="lesson")) for uid in ("1", "2"))
    one.call("join")
    stage.run_for(0.5)
    two.call("join")
    stage.run_for(3)
    stage.lose(one, seconds)
    stage.run_for(whole)
    return stage


# --- Rooms ------------------------------------------------------------------------------------------------------


def _room(**settings: Any) -> tuple[Stage, ClientHost, ClientHost]:
    stage = Stage(**settings)
    ann, ben = (stage.appear(stage.client(name, kind="room", scope="stage")) for name in ("ann", "ben"))
    for client in (ann, ben):
        client.call("connect")
        stage.run_for(1)
    stage.run_for(2)
    return stage, ann, ben


@story(
    "Room: the signaling fails for 10 seconds",
    "The room is reconnecting with 53001 at 4 seconds of silence. The others see the participant reconnecting at 6.",
)
def room_signaling() -> Stage:
    stage, ann, _ = _room()
    stage.tell("ann", "signaling is lost")
    ann.refuse(10)
    for link, wire in ann.wires.items():
        if link < MEDIA_LINKS:
            wire.reset(stage.now)
    stage.run_for(20)
    return stage


@story(
    "Room: the media connection fails",
    "The room is reconnecting with 53405 at 3 seconds of silence, and back with another media connection, which is "
    "refused for 5 seconds here. Signaling is not touched, so the others see nothing.",
)
def room_media() -> Stage:
    stage, ann, _ = _room()
    stage.tell("ann", "media is silent")
    ann.refuse(5)
    for link, wire in ann.wires.items():
        if link >= MEDIA_LINKS:
            wire.hole(60, stage.now)
    stage.run_for(20)
    return stage


@story(
    "Room: an outage of 40 seconds",
    "The room is reconnecting with 53405 first: media is judged after 3 seconds of silence, signaling after 4. After "
    "30 seconds it is disconnected for good with 53002, and for the others the participant has left.",
)
def room_40_s() -> Stage:
    stage, ann, _ = _room()
    stage.lose(ann, 40)
    stage.run_for(50)
    return stage


@story(
    "Room: the same identity connects elsewhere",
    "The older one is disconnected with 53205.",
)
def room_duplicate() -> Stage:
    stage, _, _ = _room(nodes=("n1", "n2"))
    other = stage.appear(stage.client("ann", kind="room", scope="stage"), "ann elsewhere")
    other.call("connect")
    stage.run_for(10)
    return stage
