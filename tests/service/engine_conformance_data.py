"""What every engine has to do about media connections and data frames. See `engine_conformance`."""

from typing import Any

import attrs
import pytest

from rtmcore.limits import OFFLINE_AFTER, UNREACHABLE_AFTER
from rtmcore.service.commands.exclusions import Ban
from rtmcore.service.commands.media import AttachMedia, DataNotice, DetachMedia, media_secret
from rtmcore.service.commands.names import ROOM, RTC, Place, Session
from rtmcore.service.commands.results import Settled, Trouble
from rtmcore.service.commands.sessions import Claimed, Ended, Ending
from tests.service.engine_conformance import refused
from tests.service.engine_harness import APP, Client, Harness


def endings(client: Client, media: Session | None) -> list[Any]:
    """Why a media connection has ended."""
    assert media is not None
    node = client.harness.node(media.place.node)
    return [ended.reason for ended in node.of(Ended) if ended.session == media]


class MediaConnections:
    def test_the_media_secret_opens_one(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        assert alice.attach() == Settled()
        assert alice.endings() == []
        assert alice.secret is not None
        assert alice.secret not in media_secret(alice.secret)
        assert media_secret(alice.secret) not in repr(AttachMedia(alice.here, media_secret(alice.secret), 1))

    def test_nothing_else_does(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        for secret in ("", "another", alice.secret, media_secret(bob.secret or "")):
            assert refused(alice.attach(secret=secret, attempt=2**52)) is Trouble.UNAUTHORIZED
        assert alice.attach(attempt=1) == Settled(), "a stranger's attempt does not count"

    def test_it_needs_the_live_session_and_its_fence(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        secret = media_secret(alice.secret or "")
        place = Place("n1", 77)
        for session in (
            Session(alice.name, alice.here.fence - 1, place),
            Session(alice.name, alice.here.fence + 1, place),
            Session(alice.name._replace(name="nobody"), alice.here.fence, place),
            Session(alice.name._replace(scope="blue"), alice.here.fence, place),
        ):
            assert refused(alice.ask(AttachMedia(session, secret, 1))) is Trouble.FENCED
        alice.log_out()
        assert refused(alice.attach(secret=secret)) is Trouble.FENCED

    @pytest.mark.parametrize("kind", ["rtm", RTC])
    def test_other_sessions_have_none(self, harness: Harness, kind: str) -> None:
        alice = harness.client("alice", kind=kind, scope="" if kind == "rtm" else "red")
        alice.log_in()
        assert refused(alice.attach()) is Trouble.FENCED
        assert refused(alice.attach(secret="")) is Trouble.FENCED

    def test_a_greater_attempt_replaces_it(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        alice.attach(attempt=3)
        first = alice.media
        for attempt in (3, 2, 1):
            assert refused(alice.attach(attempt=attempt)) is Trouble.STALE_ATTEMPT
        assert endings(alice, first) == []
        assert alice.attach(attempt=4, node="n2") == Settled()
        assert endings(alice, first) == [Ending.REPLACED]
        assert endings(alice, alice.media) == []

    def test_one_that_is_gone_is_not_told_of_its_successor(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        alice.attach()
        first = alice.media
        alice.node.submit(DetachMedia(first))
        assert refused(alice.attach(attempt=1)) is Trouble.STALE_ATTEMPT
        assert alice.attach(attempt=2) == Settled()
        alice.node.submit(DetachMedia(first))
        assert endings(alice, first) == []
        alice.log_out()
        assert endings(alice, alice.media) == [Ending.EXPIRED], "a late word of the first did not detach it"

    def test_it_survives_a_return_of_the_signaling(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        alice.attach()
        alice.silent(gone=True)
        harness.advance(UNREACHABLE_AFTER)
        alice.send_data(b"signaling is down")
        assert alice.come_back().resumed
        alice.send_data(b"signaling is back")
        assert bob.data() == [b"signaling is down", b"signaling is back"]
        assert endings(alice, alice.media) == []
        assert alice.attach() == Settled(), "the secret is the same"

    @pytest.mark.parametrize(
        ("end", "reason"),
        [
            ("logout", Ending.EXPIRED),
            ("silence", Ending.EXPIRED),
            ("login", Ending.EXPIRED),
            ("kick", Ending.REMOTE_LOGIN),
            ("ban", Ending.BANNED),
        ],
    )
    def test_it_ends_with_the_session(self, harness: Harness, end: str, reason: Ending) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        alice.attach(node="n2")
        media = alice.media
        if end == "logout":
            alice.log_out()
        elif end == "silence":
            alice.silent(gone=True)
            harness.advance(OFFLINE_AFTER)
        elif end == "login":
            alice.log_in()
            alice.join("red")
        elif end == "kick":
            harness.client("alice", "another-instance", kind=ROOM, scope="red").log_in()
        else:
            alice.node.submit(Ban(alice.name, "for a reason"))
        assert endings(alice, media) == [reason]
        alice.send_data(b"late", session=media)
        assert bob.data() == []

    def test_a_new_session_has_another_secret_and_counts_anew(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        alice.attach(attempt=5)
        old = media_secret(alice.secret or "")
        alice.log_in()
        assert refused(alice.attach(secret=old)) is Trouble.UNAUTHORIZED
        assert alice.attach(attempt=1) == Settled()


class DataFrames:
    def test_a_frame_reaches_all_who_watch_the_room(self, harness: Harness) -> None:
        (alice,) = harness.present("red", "alice")
        harness.node("n2").watch("red", ROOM)
        harness.node("n3").watch("blue", ROOM)
        harness.node("n3").watch("red", RTC)
        harness.node("n3").watch("red")
        alice.attach()
        alice.send_data(b"frame", track="cursor", n=7)
        expected = DataNotice(APP, "red", alice.name, "cursor", 7, b"frame", ROOM)
        assert harness.node("n1").of(DataNotice) == [expected]
        assert harness.node("n2").of(DataNotice) == [expected]
        assert harness.node("n3").of(DataNotice) == []
        assert "frame" not in repr(attrs.evolve(expected, track=""))

    def test_an_rtc_session_sends_on_its_own_transport(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob", kind=RTC)
        alice.send_data(b"1")
        old = alice.here
        assert alice.come_back().resumed
        alice.send_data(b"from the old transport", session=old)
        alice.send_data(b"2", n=2)
        assert bob.data() == [b"1", b"2"]
        assert {notice.kind for notice in bob.node.of(DataNotice)} == {RTC}

    def test_frames_keep_their_order(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        alice.attach()
        bob.attach()
        for number in range(200):
            (alice if number % 3 else bob).send_data(b"%d" % number)
        assert alice.data() == [b"%d" % number for number in range(200)]

    def test_a_replaced_or_detached_connection_sends_nothing(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        alice.attach()
        first = alice.media
        alice.attach()
        alice.send_data(b"replaced", session=first)
        alice.send_data(b"current")
        alice.node.submit(DetachMedia(alice.media))
        alice.send_data(b"detached")
        assert bob.data() == [b"current"]

    def test_a_room_session_sends_on_its_media_connection_only(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        alice.send_data(b"signaling", session=alice.here)
        alice.attach()
        alice.send_data(b"signaling", session=alice.here)
        forged = attrs.evolve(alice.media, fence=alice.here.fence + 1)
        alice.send_data(b"forged", session=forged)
        assert bob.data() == []

    @pytest.mark.parametrize("kind", [ROOM, RTC])
    def test_only_members_send(self, harness: Harness, kind: str) -> None:
        (bob,) = harness.present("red", "bob", kind=kind)
        alice = harness.client("alice", kind=kind, scope="red")
        alice.log_in()
        if kind == ROOM:
            alice.attach()
        alice.send_data(b"before the join")
        alice.join("red")
        alice.send_data(b"member")
        alice.leave("red")
        alice.send_data(b"after leaving")
        assert bob.data() == [b"member"]

    def test_others_send_nothing_at_all(self, harness: Harness) -> None:
        (alice,) = harness.online("alice")
        harness.node().watch("red")
        alice.join("red")
        alice.send_data(b"frame")
        stranger = Session(alice.name._replace(name="nobody"), 1, Place("n1", 1))
        alice.send_data(b"frame", session=stranger)
        assert alice.node.of(DataNotice) == []


class DataOnDisk:
    """Engines with a journal."""

    def test_after_a_restart_the_old_secret_opens_it_again(self, harness: Harness) -> None:
        alice, bob = harness.present("red", "alice", "bob")
        alice.attach()
        old = alice.media
        harness.settle()
        harness.restart()
        harness.node().watch("red", ROOM)
        assert refused(alice.attach()) is Trouble.FENCED, "its session has not returned yet"
        for client in (alice, bob):
            value = client.come_back()
            assert isinstance(value, Claimed)
            assert value.resumed
            client.join("red", restore=True)
        alice.send_data(b"from before", session=old)
        assert refused(alice.attach(secret="another")) is Trouble.UNAUTHORIZED
        assert alice.attach() == Settled()
        alice.send_data(b"after the restart")
        assert bob.data() == [b"after the restart"]
