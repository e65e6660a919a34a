"""Data frames: numbers on the way out, and missing ones on the way in."""

import pytest

from rtmcore.client.frames import IncomingFrames, OutgoingFrames
from rtmcore.errors import LimitExceeded
from rtmcore.limits import DATA_FRAMES_KEPT, DATA_TRACKS, ROOM_PARTICIPANTS
from rtmcore.wire.packets import Data


def test_each_track_counts_for_itself() -> None:
    frames = OutgoingFrames()
    made = [frames.make(track, b"x") for track in ("a", "b", "a", "", "a")]
    assert made == [
        Data(1, b"x", "a"),
        Data(1, b"x", "b"),
        Data(2, b"x", "a"),
        Data(1, b"x"),
        Data(3, b"x", "a"),
    ]


def test_more_tracks_than_there_may_be_are_refused() -> None:
    frames = OutgoingFrames()
    for number in range(DATA_TRACKS):
        frames.make(f"track {number}", b"x")
    with pytest.raises(LimitExceeded, match=str(DATA_TRACKS)):
        frames.make("one more", b"x")
    assert frames.make("track 3", b"x").n == 2


def test_the_newest_frames_are_kept_and_handed_out_once() -> None:
    frames = OutgoingFrames()
    for _ in range(DATA_FRAMES_KEPT + 3):
        frames.keep(frames.make("a", b"x"))
    assert frames.waiting
    assert [frame.n for frame in frames.take_kept()] == list(range(4, DATA_FRAMES_KEPT + 4))
    assert not frames.waiting
    assert frames.take_kept() == []


def test_missing_frames_are_counted_by_sender_and_track() -> None:
    frames = IncomingFrames()
    came = [
        ("bob", "a", 7),
        ("bob", "a", 8),
        ("bob", "b", 1),
        ("cy", "a", 3),
        ("bob", "a", 12),
        ("cy", "a", 5),
    ]
    assert [frames.dropped_before(*frame) for frame in came] == [0, 0, 0, 0, 3, 1]


def test_a_sender_who_begins_anew_has_lost_nothing() -> None:
    frames = IncomingFrames()
    assert [frames.dropped_before("bob", "a", number) for number in (90, 91, 1, 2, 4)] == [0, 0, 0, 0, 1]
    frames.forget("bob")
    assert frames.dropped_before("bob", "a", 50) == 0
    frames.clear()
    assert frames.dropped_before("bob", "a", 60) == 0


def test_what_is_remembered_of_senders_is_bounded() -> None:
    frames = IncomingFrames()
    most = DATA_TRACKS * ROOM_PARTICIPANTS
    for number in range(3 * most):
        frames.dropped_before(f"user {number}", "a", 1)
    # The oldest are forgotten, the newest are not.
    assert frames.dropped_before("user 0", "a", 9) == 0
    assert frames.dropped_before(f"user {3 * most - 1}", "a", 9) == 7
