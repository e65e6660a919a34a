"""Uploads and downloads against a scripted server, with numbers for time."""

import hashlib
import json
from collections.abc import Callable
from random import Random

import pytest

from rtmcore.client.transfers.events import NeedTicket
from rtmcore.client.transfers.states import DOWNLOAD, UPLOAD, Phase
from rtmcore.client.transfers.upload import Upload
from rtmcore.codes import DownloadMediaError, IceTransportState, UploadMediaError
from rtmcore.errors import (
    ConnectionFailed,
    InvalidArgument,
    LimitExceeded,
    RequestTimeout,
    TlsError,
    TransferCancelled,
    TransferFailed,
)
from rtmcore.limits import MEDIA_IDLE_TIMEOUT, MEDIA_STALL_TIMEOUT
from tests.core.filehost import FileHost, Line, downloading, uploading

DATA = Random(7).randbytes(100_000)
Ice = IceTransportState


def host_with(data: bytes = DATA) -> tuple[FileHost, str]:
    host = FileHost()
    host.files["abc"] = data
    return host, "abc"


def check_progress(line: Line, total: int = len(DATA)) -> None:
    done = [progress.done for progress in line.progress]
    assert done == sorted(set(done))
    assert done[0] == 0
    assert all(progress.total == total for progress in line.progress)


def down(host: FileHost | None = None) -> Line:
    return downloading("abc", host or host_with()[0])


def up(host: FileHost | None = None, data: bytes = DATA) -> Line:
    return uploading(data, host or FileHost())


# --- What works ------------------------------------------------------------------------------------------------


def test_a_file_goes_up() -> None:
    host = FileHost()
    line = uploading(DATA, host, name="a.bin", kind="image").run()
    assert line.error is None
    assert isinstance(line.transfer, Upload)
    assert host.files == {line.transfer.media_id: DATA}
    assert host.asked == ["POST", "PATCH"]
    assert line.opened == 1
    check_progress(line)
    assert line.progress[-1].done == len(DATA)
    assert len(line.progress) > 10
    assert line.transfer.over


def test_a_file_comes_down() -> None:
    host, _ = host_with()
    line = down(host).run()
    assert line.error is None
    assert line.got == DATA
    check_progress(line)
    assert line.progress[-1].done == len(DATA)
    assert host.asked == ["GET"]


@pytest.mark.parametrize("size", [1, 4095, 4096, 300_000])
def test_sizes(size: int) -> None:
    data = Random(size).randbytes(size)
    host = FileHost()
    line = uploading(data, host).run()
    assert line.error is None
    assert list(host.files.values()) == [data]
    assert downloading(next(iter(host.files)), host).run().got == data


@pytest.mark.parametrize("seed", range(20))
def test_an_upload_goes_on_after_cuts_where_the_server_has_got_to(seed: int) -> None:
    host, random = FileHost(), Random(seed)
    line = uploading(DATA, host, seed)
    line.budgets.extend(random.randrange(8_000) for _ in range(10))
    line.run(100)
    assert line.error is None
    assert DATA in host.files.values()
    check_progress(line)
    assert line.opened == 11


@pytest.mark.parametrize("seed", range(20))
def test_a_download_goes_on_after_cuts_with_what_is_missing(seed: int) -> None:
    host, _ = host_with()
    random = Random(seed)
    line = downloading("abc", host, seed)
    line.budgets.extend(random.randrange(15_000) for _ in range(10))
    line.run(100)
    assert line.error is None
    assert line.got == DATA
    check_progress(line)


def test_a_server_that_ends_each_connection_gets_the_file_all_the_same() -> None:
    host = FileHost()
    host.close_each = True
    line = up(host).run(10)
    assert line.error is None
    assert DATA in host.files.values()
    assert host.asked == ["POST", "PATCH"]


def test_a_server_without_interim_answers_gets_the_file() -> None:
    host = FileHost()
    host.interim = False
    line = up(host).run()
    assert [progress.done for progress in line.progress] == [0, len(DATA)]


def test_an_answer_that_was_lost_is_asked_for_again() -> None:
    host = FileHost()
    line = up(host)
    # All bytes arrive, and what the server says to the last of them does not.
    line.budgets.append(100_900)
    line.run(30)
    assert line.error is None
    assert len(host.files) == 1
    assert host.asked[-1] in ("HEAD", "PATCH")


def test_a_server_that_lost_bytes_gets_them_again_and_progress_does_not_go_back() -> None:
    host = FileHost()

    def lose_half() -> None:
        for _, kept in host.unfinished.values():
            del kept[len(kept) // 2 :]

    host.asked = Once(lose_half, "HEAD")
    line = up(host)
    line.budgets.append(60_000)
    line.run(10)
    assert line.error is None
    assert DATA in host.files.values()
    check_progress(line)


def test_a_conflict_tells_where_to_go_on() -> None:
    host = FileHost()
    host.asked = Once(lambda: next(iter(host.unfinished.values()))[1].extend(DATA[:5000]), "PATCH")
    line = up(host).run(10)
    assert line.error is None
    assert DATA in host.files.values()
    assert host.asked == ["POST", "PATCH", "PATCH"]


def test_an_upload_that_the_server_has_forgotten_begins_anew() -> None:
    host = FileHost()
    line = up(host)
    line.budgets.append(50_000)
    host.asked = Once(lambda: host.unfinished.clear(), "HEAD")
    line.run(10)
    assert line.error is None
    assert host.asked.count("POST") == 2
    check_progress(line)


class Once(list):  # type: ignore[type-arg]
    """Notes requests, and does something at the first of a method."""

    def __init__(self, action: Callable[[], None], method: str) -> None:
        super().__init__()
        self._action = action
        self._method = method

    def append(self, method: str) -> None:
        if method == self._method and method not in self:
            self._action()
        super().append(method)


# --- Tickets ---------------------------------------------------------------------------------------------------


def test_a_refused_ticket_is_replaced() -> None:
    host = FileHost()
    line = up(host)
    line.tickets.extend(["old", "good"])
    line.run(10)
    assert line.error is None
    assert line.asked_tickets == [None, "old"]


def test_tickets_that_are_all_refused_end_it() -> None:
    line = up()
    line.tickets.extend(["a", "b", "c", "d"])
    line.run(30)
    assert line.error is not None
    assert line.error.code is UploadMediaError.FAILURE
    assert "ticket" in line.error.message


def test_a_ticket_that_expires_on_the_way_is_replaced_there() -> None:
    host, _ = host_with()
    line = down(host)
    line.budgets.append(30_000)
    line.tickets.extend(["good", "new"])

    class Expiring(list):  # type: ignore[type-arg]
        def append(self, method: str) -> None:
            super().append(method)
            host.tickets = {"good"} if len(self) == 1 else {"new"}

    host.asked = Expiring()
    line.run(10)
    assert line.error is None
    assert line.got == DATA
    assert line.asked_tickets == [None, "good"]


def test_without_a_ticket_it_waits_and_tries_again() -> None:
    upload = up().transfer
    upload.next_event()
    upload.next_event()
    assert upload.phase is Phase.TICKET
    upload.ticket_failed(ConnectionFailed("No answer."), 1001.0)
    assert upload.phase is Phase.WAITING
    due = upload.next_deadline()
    assert due is not None
    upload.handle_timer(due)
    assert upload.phase is Phase.TICKET
    upload.ticket_failed(ConnectionFailed("No."), due, final=True)
    assert upload.over


# --- What ends it ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("make", "code"), [(up, UploadMediaError.TIMEOUT), (down, DownloadMediaError.TIMEOUT)]
)
def test_120_seconds_without_a_byte_are_a_timeout(make: Callable[[], Line], code: object) -> None:
    line = make()
    line.up = False
    line.run(MEDIA_IDLE_TIMEOUT - 0.01)
    assert not line.ended
    line.run(0.01)
    assert isinstance(line.error, RequestTimeout)
    assert line.error.code is code
    assert isinstance(line.error.__cause__, ConnectionFailed)
    assert line.transfer.over
    assert line.opened > 10


def test_bytes_that_move_keep_it_going() -> None:
    host = FileHost()
    line = up(host)
    line.budgets.append(50_000)
    line.run()
    line.up = False
    line.run(MEDIA_IDLE_TIMEOUT - 20)
    line.up = True
    line.run(20)
    assert line.error is None


def test_a_silent_connection_is_replaced() -> None:
    host = FileHost()
    host.silent = True
    line = up(host)
    line.run(MEDIA_STALL_TIMEOUT - 0.1)
    assert line.opened == 1
    host.silent = False
    line.run(1)
    assert line.error is None
    assert line.opened == 2


STATUSES = [
    (400, UploadMediaError.INVALID_ARGUMENT, DownloadMediaError.INVALID_ARGUMENT, InvalidArgument),
    (403, UploadMediaError.FAILURE, DownloadMediaError.FAILURE, TransferFailed),
    (404, UploadMediaError.FAILURE, DownloadMediaError.NOT_EXIST, TransferFailed),
    (410, UploadMediaError.FAILURE, DownloadMediaError.NOT_EXIST, TransferFailed),
    (416, UploadMediaError.FAILURE, DownloadMediaError.FAILURE, TransferFailed),
    (422, UploadMediaError.FAILURE, DownloadMediaError.FAILURE, TransferFailed),
    (
        429,
        UploadMediaError.CONCURRENCY_LIMIT_EXCEEDED,
        DownloadMediaError.CONCURRENCY_LIMIT_EXCEEDED,
        LimitExceeded,
    ),
    (507, UploadMediaError.FAILURE, DownloadMediaError.FAILURE, TransferFailed),
    (302, UploadMediaError.FAILURE, DownloadMediaError.FAILURE, TransferFailed),
]


@pytest.mark.parametrize(("status", "upload", "download", "kind"), STATUSES)
def test_refusals_have_their_codes(status: int, upload: object, download: object, kind: type) -> None:
    for make, code in ((up, upload), (down, download)):
        host, _ = host_with()
        body = json.dumps({"error": {"message": "Because of\nthe moon."}}).encode()
        host.instead.append((status, [], body))
        line = make(host).run(1)
        assert line.error is not None
        assert line.error.code is code
        assert isinstance(line.error, kind)
        assert line.error.message == "Because of the moon."


def test_a_file_too_large_is_an_overflow() -> None:
    host = FileHost()
    host.instead.append((413, [], b""))
    line = up(host).run()
    assert line.error is not None
    assert line.error.code is UploadMediaError.SIZE_OVERFLOW
    assert downloading("abc", host_with()[0], limit=len(DATA) - 1).run().error is not None
    assert downloading("abc", host_with()[0], limit=len(DATA)).run().error is None


@pytest.mark.parametrize("status", [500, 502, 503, 504, 408])
@pytest.mark.parametrize("make", [up, down])
def test_a_busy_server_is_asked_again_when_it_says(make: Callable[[FileHost], Line], status: int) -> None:
    host, _ = host_with()
    host.instead.append((status, [("Retry-After", "7")], b"<html>"))
    line = make(host).run(6.9)
    assert not line.ended
    line.run(0.2)
    assert line.error is None


def test_too_many_transfers_end_only_one_that_was_never_let_in() -> None:
    host = FileHost()
    host.asked = Once(lambda: host.instead.append((429, [("Retry-After", "1")], b"")), "HEAD")
    line = up(host)
    line.budgets.append(50_000)
    line.run(10)
    assert line.error is None
    assert host.asked.count("HEAD") == 2


def test_what_cannot_be_trusted_is_not_tried_again() -> None:
    line = up()
    while not line.transfer.link:
        event = line.transfer.next_event()
        if isinstance(event, NeedTicket):
            line.transfer.ticket("good", line.now)
    line.transfer.transport_failed(1, TlsError("Not trusted."), line.now)
    line.up = False
    line.run()
    assert line.error is not None
    assert line.error.code is UploadMediaError.FAILURE
    assert isinstance(line.error.__cause__, TlsError)


def halfway(host: FileHost) -> Line:
    line = up(host)
    line.step = 100
    for _ in range(50):
        line._turn()
    assert host.unfinished
    return line


def test_a_canceled_upload_is_removed_from_the_server() -> None:
    host = FileHost()
    line = halfway(host)
    line.transfer.end("INTERRUPTED", "Canceled.", line.now)
    assert line.transfer.ended
    assert not line.transfer.over
    line.run()
    assert isinstance(line.error, TransferCancelled)
    assert line.error.code is UploadMediaError.INTERRUPTED
    assert not host.unfinished
    assert line.transfer.over
    assert line.links[-1].ice is Ice.CLOSED


def test_the_removal_of_a_canceled_upload_takes_no_longer_than_it_may() -> None:
    host = FileHost()
    line = halfway(host)
    host.silent = True
    line.transfer.end("INTERRUPTED", "Canceled.", line.now)
    line.run(1.9)
    assert not line.transfer.over
    line.run(0.2)
    assert line.transfer.over


def test_a_canceled_download_is_over_at_once() -> None:
    line = down()
    line.transfer.end("INTERRUPTED", "Canceled.", line.now)
    line.transfer.end("INTERRUPTED", "Again.", line.now)
    line.run()
    assert line.error is not None
    assert line.error.code is DownloadMediaError.INTERRUPTED
    assert line.transfer.over


def test_an_error_of_the_owner_ends_it() -> None:
    line = down()
    mine = TransferFailed("The disk is full.")
    line.transfer.fail(mine, line.now)
    assert line.run().error is mine


# --- Servers that lie ------------------------------------------------------------------------------------------


def answered(line: Line, status: int, headers: list[tuple[str, str]], body: bytes = b"") -> Line:
    line.host.instead.append((status, headers, body))
    return line.run(1)


SHA = f'"{hashlib.sha256(DATA).hexdigest()}"'
OTHER = f'"{hashlib.sha256(b"other").hexdigest()}"'


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (200, [], DATA, "checksum"),
        (200, [("ETag", "W/" + SHA)], DATA, "checksum"),
        (200, [("ETag", OTHER)], DATA, "checksum differs"),
        (200, [("ETag", SHA)], DATA[:-1], "checksum differs"),
        (206, [("ETag", SHA)], DATA, "another part"),
        (206, [("ETag", SHA), ("Content-Range", "bytes 5-9/100")], b"12345", "another part"),
        (206, [("ETag", SHA), ("Content-Range", "bytes 0-4/*")], b"12345", "size"),
        (206, [("ETag", SHA), ("Content-Range", "bytes 0-1/2")], b"12345", "more bytes"),
    ],
)
def test_a_download_that_is_not_the_file_fails(
    status: int, headers: list[tuple[str, str]], body: bytes, words: str
) -> None:
    line = answered(down(), status, headers, body)
    assert line.error is not None
    assert line.error.code is DownloadMediaError.FAILURE
    assert words in line.error.message
    assert not line.progress or line.progress[-1].done < line.progress[-1].total


def test_a_file_that_changes_on_the_way_fails() -> None:
    host, _ = host_with()
    line = downloading("abc", host)
    line.budgets.append(30_000)

    class Changing(list):  # type: ignore[type-arg]
        def append(self, method: str) -> None:
            super().append(method)
            if len(self) == 2:
                host.files["abc"] = DATA[::-1]

    host.asked = Changing()
    line.run(10)
    assert line.error is not None
    assert "another one" in line.error.message


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"{}", b'{"id": "../x"}', b'{"id": 5}', b"[" * 5000, b"\xff", b'{"id": ""}']
)
def test_an_announcement_needs_an_id_that_can_be_one(body: bytes) -> None:
    line = answered(up(), 201, [], body)
    assert line.error is not None
    assert line.error.code is UploadMediaError.FAILURE


@pytest.mark.parametrize("value", ["-1", "x", str(len(DATA) + 1), "9" * 400, "1e3", "\u0664", ""])
def test_an_offset_that_cannot_be_ends_it(value: str) -> None:
    host = FileHost()
    line = up(host)
    encoded = value if value.isascii() else "4x"
    host.asked = Once(lambda: host.instead.append((204, [("Upload-Offset", encoded)], b"")), "PATCH")
    line.run(5)
    assert line.error is not None
    assert line.error.code is UploadMediaError.FAILURE


def test_a_server_that_takes_nothing_is_not_asked_without_end() -> None:
    host = FileHost()
    line = up(host)

    class Refusing(list):  # type: ignore[type-arg]
        def append(self, method: str) -> None:
            super().append(method)
            if method == "PATCH":
                host.instead.append((409, [("Upload-Offset", "0")], b""))

    host.asked = Refusing()
    line.run(MEDIA_IDLE_TIMEOUT + 1)
    assert isinstance(line.error, RequestTimeout)
    assert len(host.asked) < 200


def test_acknowledgements_of_bytes_that_were_not_sent_are_not_believed() -> None:
    host = FileHost()
    line = halfway(host)
    before = line.transfer.done
    link = line.transfer.link
    line.transfer.receive_data(link, b"HTTP/1.1 104 \r\nUpload-Offset: 99999\r\n\r\n", line.now)
    line.transfer.receive_data(link, b"HTTP/1.1 104 \r\nUpload-Offset: x\r\n\r\n", line.now)
    line.transfer.receive_data(link, b"HTTP/1.1 199 \r\n\r\n", line.now)
    assert line.transfer.done == before
    assert line.run(5).error is None


@pytest.mark.parametrize("make", [up, down])
@pytest.mark.parametrize("seed", range(30))
def test_whatever_a_server_says_it_ends(make: Callable[[FileHost], Line], seed: int) -> None:
    random = Random(seed)
    host, _ = host_with()
    line = make(host)
    for _ in range(400):
        if line.transfer.over:
            break
        line._turn()
        link = line.transfer.link
        roll = random.random()
        if roll < 0.1 and link:
            line.transfer.receive_data(link, random.randbytes(random.randrange(1, 80)), line.now)
        elif roll < 0.2 and link:
            status = random.choice([100, 104, 200, 201, 204, 206, 301, 404, 409, 503])
            head = f"HTTP/1.1 {status} x\r\nUpload-Offset: {random.randrange(200_000)}\r\n"
            line.transfer.receive_data(link, f"{head}Content-Length: 0\r\n\r\n".encode(), line.now)
        elif roll < 0.3:
            line.transfer.receive_eof(link, line.now)
        elif roll < 0.4:
            line.transfer.ticket_failed(ConnectionFailed("No."), line.now)
        elif roll < 0.5:
            line.now += random.random() * 10
            line.transfer.handle_timer(line.now)
    line.run(2 * MEDIA_IDLE_TIMEOUT)
    assert len(line.ended) == 1
    assert line.transfer.over
    done = [progress.done for progress in line.progress]
    assert done == sorted(done)


# --- Parts of a file -------------------------------------------------------------------------------------------

SIZE = len(DATA)


def part_of(start: int, stop: int | None, host: FileHost | None = None, seed: int = 0) -> Line:
    return downloading("abc", host or host_with()[0], seed, start=start, stop=stop)


@pytest.mark.parametrize(
    ("start", "stop", "asked"),
    [
        (0, 1, "bytes=0-0"),
        (5, 6, "bytes=5-5"),
        (0, 60_000, "bytes=0-59999"),
        (1000, 60_000, "bytes=1000-59999"),
        (1000, None, "bytes=1000-"),
        (SIZE - 1, None, f"bytes={SIZE - 1}-"),
        (SIZE - 1, SIZE, f"bytes={SIZE - 1}-{SIZE - 1}"),
        (0, SIZE, f"bytes=0-{SIZE - 1}"),
        (0, None, None),
    ],
)
def test_a_part_comes_down(start: int, stop: int | None, asked: str | None) -> None:
    host, _ = host_with()
    line = part_of(start, stop, host).run()
    part = DATA[start:stop]
    assert line.error is None
    assert line.got == part
    assert host.ranges == [asked]
    check_progress(line, len(part))
    assert line.progress[-1].done == len(part)


@pytest.mark.parametrize("knows_ranges", [True, False])
@pytest.mark.parametrize("cut", [False, True])
def test_a_part_comes_byte_by_byte_and_is_gone_on_with_after_a_cut_anywhere(
    knows_ranges: bool, cut: bool
) -> None:
    data = DATA[:600]
    for budget in range(0, 1500, 7) if cut else [2**60]:
        host, _ = host_with(data)
        host.knows_ranges = knows_ranges
        line = part_of(200, 400, host)
        line.step = 1
        line.budgets.append(budget)
        line.run(10)
        assert line.error is None
        assert line.got == data[200:400]
        check_progress(line, 200)
        assert line.transfer.over


@pytest.mark.parametrize("seed", range(20))
def test_a_part_is_gone_on_with_inside_of_it(seed: int) -> None:
    host, _ = host_with()
    random = Random(seed)
    start, stop = sorted(random.sample(range(SIZE), 2))
    line = part_of(start, stop, host, seed)
    line.budgets.extend(random.randrange(300, 1 + (stop - start) // 4 + 300) for _ in range(6))
    line.run(100)
    assert line.error is None
    assert line.got == DATA[start:stop]
    check_progress(line, stop - start)
    firsts = [int(str(asked).removeprefix("bytes=").split("-")[0]) for asked in host.ranges]
    assert firsts == sorted(firsts)
    assert firsts[0] == start
    assert firsts[-1] < stop
    assert all(str(asked).endswith(f"-{stop - 1}") for asked in host.ranges)


def test_what_lies_behind_a_part_is_not_read_from_a_server_without_ranges() -> None:
    host, _ = host_with()
    host.knows_ranges = False
    line = part_of(1000, 2000, host)
    line.budgets.append(10_000)
    line.run()
    assert line.error is None
    assert line.got == DATA[1000:2000]
    assert line.opened == 1


@pytest.mark.parametrize(("start", "stop"), [(SIZE, None), (SIZE, SIZE + 1), (SIZE - 5, SIZE + 1)])
@pytest.mark.parametrize("knows_ranges", [True, False])
def test_a_part_that_is_not_all_in_the_file_is_a_failure(
    start: int, stop: int | None, knows_ranges: bool
) -> None:
    host, _ = host_with()
    host.knows_ranges = knows_ranges
    line = part_of(start, stop, host).run(10)
    assert isinstance(line.error, TransferFailed)
    assert line.error.code is DownloadMediaError.FAILURE
    assert "part" in line.error.message
    assert not line.got
    assert len(host.asked) == 1


def piece(first: int, last: int, total: object = SIZE) -> list[tuple[str, str]]:
    return [("ETag", SHA), ("Content-Range", f"bytes {first}-{last}/{total}")]


@pytest.mark.parametrize(
    ("status", "headers", "body", "words"),
    [
        (206, piece(1001, 1999), DATA[1001:2000], "another part"),
        (206, piece(1000, 2000), DATA[1000:2001], "another part"),
        (206, piece(1000, 1999), DATA[1000:2001], "more bytes"),
        (206, piece(1000, 1999, "*"), DATA[1000:2000], "size"),
        (206, piece(1000, 1499, 1500), DATA[1000:1500], "not all in it"),
        (206, piece(1000, 1999)[1:], DATA[1000:2000], "checksum"),
        (206, piece(1000, 1999)[:1], DATA[1000:2000], "another part"),
        (200, [("ETag", SHA)], DATA[:1500], "not all in it"),
    ],
)
def test_an_answer_that_is_not_the_part_fails(
    status: int, headers: list[tuple[str, str]], body: bytes, words: str
) -> None:
    line = answered(part_of(1000, 2000), status, headers, body)
    assert line.error is not None
    assert line.error.code is DownloadMediaError.FAILURE
    assert words in line.error.message


@pytest.mark.parametrize(("first", "last"), [(1000, 1499), (0, 1999), (900, 1200)])
def test_an_answer_with_less_or_with_something_before_is_gone_on_with(first: int, last: int) -> None:
    line = answered(part_of(1000, 2000), 206, piece(first, last), DATA[first : last + 1])
    line.run(10)
    assert line.error is None
    assert line.got == DATA[1000:2000]
    check_progress(line, 1000)


@pytest.mark.parametrize(("other", "words"), [(DATA[::-1], "another one"), (DATA[:-1], "another one")])
def test_a_part_of_a_file_that_changes_on_the_way_fails(other: bytes, words: str) -> None:
    host, _ = host_with()
    line = part_of(1000, 50_000, host)
    line.budgets.append(30_000)

    class Changing(list):  # type: ignore[type-arg]
        def append(self, method: str) -> None:
            super().append(method)
            if len(self) == 2:
                host.files["abc"] = other

    host.asked = Changing()
    line.run(10)
    assert line.error is not None
    assert words in line.error.message


def test_a_part_that_is_the_whole_file_is_checked_as_such() -> None:
    headers = [("ETag", OTHER), ("Content-Range", f"bytes 0-{SIZE - 1}/{SIZE}")]
    line = answered(part_of(0, SIZE), 206, headers, DATA)
    assert line.error is not None
    assert "checksum differs" in line.error.message


# --- The tables ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("table", [UPLOAD, DOWNLOAD])
def test_every_state_can_be_left_and_the_end_cannot(table: object) -> None:
    rules = table.rules  # type: ignore[attr-defined]
    states = {state for state, _ in rules}
    assert Phase.OVER not in states
    for state in states:
        assert any(begin is state and rule.target is not state for (begin, _), rule in rules.items())
    assert {rule.target for rule in rules.values()} - {Phase.OVER} <= states


def test_the_connection_has_its_part_in_the_aggregate_state() -> None:
    host = FileHost()
    line = up(host)
    line.budgets.append(50_000)
    line.run(10)
    assert [change.ice for change in line.links] == [
        Ice.CHECKING,
        Ice.CONNECTED,
        Ice.DISCONNECTED,
        Ice.CONNECTED,
        Ice.CLOSED,
    ]
    assert all(change.dtls is None for change in line.links)
