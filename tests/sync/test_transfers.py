"""Uploads and downloads through the client, against a real server."""

import contextlib
import io
import itertools
import os
import random
import signal
import socket
import statistics
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import rtmsync
from rtmcore.codes import CancelMediaError, DownloadMediaError, UploadMediaError
from rtmcore.files import encode_file
from rtmcore.limits import MEDIA_BYTES, MEDIA_NAME_BYTES, MEDIA_STALL_TIMEOUT, MEDIA_TRANSFERS
from rtmsync import (
    ChannelMessage,
    ClientClosed,
    FileMessage,
    ImageMessage,
    InvalidArgument,
    LimitExceeded,
    NotLoggedIn,
    PeerConnectionState,
    PeerMessage,
    Progress,
    RequestTimeout,
    Transfer,
    TransferCancelled,
    TransferFailed,
)
from rtmsync.driver.link import Link
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from rtmsync.testing import FaultProxy
from tests.core.test_images import jpeg, png
from tests.sync.conftest import Connect
from tests.sync.test_network import Pki, Relay, pki, relay, tls_server

__all__ = ["pki", "relay", "tls_server"]

WAIT = 60.0
DATA = random.Random(3).randbytes(2_000_000)


def eventually(condition: Callable[[], bool], seconds: float = WAIT) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.01)


class Pipe(io.RawIOBase):
    """A stream that can only be read, as far as it goes."""

    def __init__(self, data: bytes) -> None:
        self._data = io.BytesIO(data)

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        piece = self._data.read(min(len(buffer), 1000))
        buffer[: len(piece)] = piece
        return len(piece)


class Slow(io.RawIOBase):
    """A stream that writes nothing before it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.data = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data: Any) -> int:
        assert self.may.wait(WAIT)
        self.data += data
        return len(data)


# --- What works ------------------------------------------------------------------------------------------------


def test_a_file_goes_to_a_peer_and_is_downloaded(connect: Connect, tmp_path: Path) -> None:
    ann, bob = connect(), connect()
    messages = bob.events(PeerMessage)
    path = tmp_path / "report of May.pdf"
    path.write_bytes(DATA)
    message = ann.upload_file(path, description="of May", thumbnail=b"tiny").result(WAIT)
    assert message == FileMessage(message.media_id, len(DATA), "report of May.pdf", "of May", b"tiny")
    assert ann.send_peer(bob.user_id, message).status is rtmsync.SendStatus.DELIVERED
    received = messages.get(timeout=WAIT)
    assert isinstance(received, PeerMessage)
    assert received.kind is rtmsync.MessageType.FILE
    assert received.media == message
    assert bob.download(received).result(WAIT) == DATA


def test_an_image_goes_to_a_channel_with_its_size(connect: Connect, name: str) -> None:
    ann, bob = connect(), connect()
    with ann.channel(name) as sending, bob.channel(name) as channel:
        messages = channel.messages(idle_timeout=WAIT)
        image = jpeg(640, 480) + DATA
        message = ann.upload_image(image, name="cat.jpg").result(WAIT)
        assert (message.width, message.height, message.size) == (640, 480, len(image))
        sending.send(message)
        received = next(messages)
        assert isinstance(received, ChannelMessage)
        assert received.kind is rtmsync.MessageType.IMAGE
        assert received.media == message
        assert isinstance(received.media, ImageMessage)
        assert bob.download(received.media).result(WAIT) == image


def test_a_file_goes_to_a_channel(connect: Connect, name: str) -> None:
    ann, bob = connect(), connect()
    with ann.channel(name) as sending, bob.channel(name) as channel:
        messages = channel.messages(idle_timeout=WAIT)
        message = ann.upload_file(b"hello", name="hello.txt").result(WAIT)
        sending.send(message)
        received = next(messages)
        assert received.kind is rtmsync.MessageType.FILE
        assert received.media == message


def test_a_message_is_made_by_the_media_id(connect: Connect) -> None:
    ann = connect()
    messages = ann.events(PeerMessage)
    media_id = ann.upload_file(b"hello").result(WAIT).media_id
    ann.send_peer(ann.user_id, ImageMessage(media_id, width=5))
    received = messages.get(timeout=WAIT)
    assert isinstance(received, PeerMessage)
    assert received.media == ImageMessage(media_id, width=5)
    assert ann.download(media_id).result(WAIT) == b"hello"


def test_values_of_the_user_come_before_those_of_the_header(connect: Connect) -> None:
    ann = connect()
    message = ann.upload_image(png(640, 480), width=5, height=6, thumbnail=b"t", thumbnail_width=1).result(
        WAIT
    )
    assert (message.width, message.height, message.thumbnail_width) == (5, 6, 1)
    assert ann.upload_image(b"no picture").result(WAIT).width == 0


def sources(tmp_path: Path) -> Iterator[Any]:
    path = tmp_path / "a"
    path.write_bytes(DATA)
    yield path
    yield str(path)
    yield DATA
    yield bytearray(DATA)
    yield memoryview(DATA)
    yield io.BytesIO(DATA)
    yield Pipe(DATA)


def test_paths_bytes_and_streams_can_be_uploaded(connect: Connect, tmp_path: Path) -> None:
    ann = connect()
    for source in sources(tmp_path):
        message = ann.upload_file(source).result(WAIT)
        assert message.size == len(DATA)
        assert ann.download(message).result(WAIT) == DATA
    stream = io.BytesIO(b"xx" + DATA)
    stream.read(2)
    assert ann.download(ann.upload_file(stream).result(WAIT)).result(WAIT) == DATA
    assert not stream.closed


def test_downloads_go_to_memory_to_a_file_and_to_a_stream(connect: Connect, tmp_path: Path) -> None:
    ann = connect()
    media_id = ann.upload_file(DATA).result(WAIT).media_id
    path = tmp_path / "there.bin"
    path.write_bytes(b"what was there before")
    assert ann.download(media_id, path).result(WAIT) == path
    assert path.read_bytes() == DATA
    assert os.listdir(tmp_path) == ["there.bin"]
    stream = io.BytesIO()
    assert ann.download(media_id, stream).result(WAIT) == len(DATA)
    assert stream.getvalue() == DATA


PARTS = [(0, 1), (0, 1_500_000), (700_000, 1_500_000), (len(DATA) - 1, None), (5, None), (0, len(DATA))]


@pytest.mark.parametrize(("start", "stop"), PARTS)
def test_a_part_goes_to_memory_to_a_file_and_to_a_stream(
    connect: Connect, tmp_path: Path, start: int, stop: int | None
) -> None:
    ann = connect()
    message = ann.upload_file(DATA).result(WAIT)
    part = DATA[start:stop]
    told: list[Progress] = []
    assert ann.download(message, start=start, stop=stop, on_progress=told.append).result(WAIT) == part
    check_progress(told, len(part))
    path = tmp_path / "there.bin"
    path.write_bytes(b"what was there before")
    assert ann.download(message.media_id, path, start=start, stop=stop).result(WAIT) == path
    assert path.read_bytes() == part
    assert os.listdir(tmp_path) == ["there.bin"]
    stream = io.BytesIO()
    transfer = ann.download(message, stream, start=start, stop=stop)
    assert transfer.result(WAIT) == len(part)
    assert stream.getvalue() == part
    assert transfer.progress == Progress(len(part), len(part))


def test_progress_begins_at_nothing_ends_at_all_and_never_goes_back(connect: Connect) -> None:
    ann = connect()
    told: list[Progress] = []
    threads: set[str] = set()

    def note(progress: Progress) -> None:
        told.append(progress)
        threads.add(threading.current_thread().name)

    message = ann.upload_file(DATA, on_progress=note).result(WAIT)
    check_progress(told)
    up, told = told, []
    transfer = ann.download(message, on_progress=note)
    seen = list(transfer)
    transfer.result(WAIT)
    check_progress(told)
    check_progress([Progress(0, len(DATA)), *seen])
    assert transfer.progress == Progress(len(DATA), len(DATA))
    assert up[-1].fraction == 1.0
    assert threads == {f"rtm-upload-{ann.user_id}", f"rtm-download-{ann.user_id}"}


def check_progress(told: list[Progress], total: int = len(DATA)) -> None:
    done = [progress.done for progress in told]
    assert done[0] == 0
    assert done[-1] == total
    assert done == sorted(done)
    assert {progress.total for progress in told} == {total}


def test_a_slow_upload_tells_its_progress_ten_times_a_second_at_most(
    connect: Connect, proxy: FaultProxy, proxied: str
) -> None:
    ann = connect(url=proxied)
    proxy.throttle(2_000_000)
    times: list[float] = []
    ann.upload_file(DATA, on_progress=lambda _: times.append(time.monotonic())).result(WAIT)
    assert 4 <= len(times) <= 2 + 10 * (times[-1] - times[0]) + 1
    # A callback that began late has the next one behind it sooner; that does not happen to most of them.
    assert statistics.median(later - before for before, later in itertools.pairwise(times[:-1])) >= 0.09


def test_a_callback_that_raises_harms_nothing(connect: Connect, caplog: pytest.LogCaptureFixture) -> None:
    def fail(_: Progress) -> None:
        raise ValueError("mine")

    assert connect().upload_file(DATA, on_progress=fail).result(WAIT).size == len(DATA)
    assert "progress callback" in caplog.text


# --- Outages ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("direction", ["to_server", "to_client"])
def test_cuts_are_outlived_and_progress_does_not_go_back(
    connect: Connect, proxy: FaultProxy, proxied: str, direction: str
) -> None:
    ann = connect(url=proxied)
    proxy.throttle(4_000_000)
    told: list[Progress] = []
    seed = random.randrange(2**32)
    print("seed", seed)
    chance = random.Random(seed)
    if direction == "to_server":
        transfer: Transfer[Any] = ann.upload_file(DATA, on_progress=told.append)
    else:
        proxy.throttle(100_000_000)
        message = ann.upload_file(DATA).result(WAIT)
        proxy.throttle(4_000_000)
        transfer = ann.download(message, on_progress=told.append)
    for _ in range(10):
        time.sleep(chance.random() * 0.08)
        proxy.cut()
    result = transfer.result(WAIT)
    check_progress(told)
    proxy.throttle(100_000_000)
    assert (ann.download(result).result(WAIT) if direction == "to_server" else result) == DATA


def test_a_part_is_gone_on_with_after_cuts(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    ann = connect(url=proxied)
    message = ann.upload_file(DATA).result(WAIT)
    start, stop = 300_000, 1_700_000
    told: list[Progress] = []
    proxy.throttle(1_000_000)
    transfer = ann.download(message, start=start, stop=stop, on_progress=told.append)
    for reached in (1, 200_000, 500_000):
        eventually(lambda reached=reached: transfer.progress.done >= reached)  # type: ignore[misc]
        proxy.cut()
    proxy.throttle(100_000_000)
    assert transfer.result(WAIT) == DATA[start:stop]
    check_progress(told, stop - start)


def test_an_upload_goes_on_after_the_server_was_started_again(tmp_path: Path) -> None:
    def serve(port: int = 0) -> Server:
        settings = {"apps": [AppKeys(DEV_APP_ID)], "drain_seconds": 0.0, "rate_limits": False}
        return Server(ServerConfig(**settings, port=port, data_dir=tmp_path))

    told: list[Progress] = []
    with contextlib.ExitStack() as stack:
        server = serve()
        server.start()
        stack.callback(lambda: server.stop())
        proxy = stack.enter_context(FaultProxy("127.0.0.1", server.port))
        options: dict[str, Any] = {"app_id": DEV_APP_ID, "user_id": "ann", "proxy": None}
        client = stack.enter_context(rtmsync.connect(f"ws://127.0.0.1:{proxy.port}", **options))
        proxy.throttle(200_000)
        transfer = client.upload_file(DATA, on_progress=told.append)
        eventually(lambda: transfer.progress.done > 100_000)
        server.stop()
        reached = transfer.progress.done
        proxy.throttle(100_000_000)
        server = serve(server.port)
        server.start()
        message = transfer.result(WAIT)
        check_progress(told)
        assert reached < len(DATA)
        assert client.download(message).result(WAIT) == DATA


def test_while_the_client_is_reconnecting_a_transfer_waits_for_its_ticket(
    make: Connect, proxy: FaultProxy, proxied: str
) -> None:
    client = make(url=proxied)
    client.login()
    proxy.refuse()
    proxy.cut()
    client.wait_until(rtmsync.ConnectionState.RECONNECTING)
    transfer = client.upload_file(b"hello")
    time.sleep(0.2)
    assert not transfer.done
    proxy.refuse(False)
    assert transfer.result(WAIT).size == 5


def test_transfers_are_transports_of_the_aggregate_state(
    connect: Connect, proxy: FaultProxy, proxied: str
) -> None:
    ann = connect(url=proxied)
    changes = ann.events(rtmsync.PeerConnectionStateChanged)
    proxy.throttle(1_000_000)
    with ann.upload_file(DATA) as transfer:
        eventually(lambda: transfer.progress.done > 0)
        assert ann.peer_connection_state is PeerConnectionState.CONNECTED
    eventually(lambda: ann.peer_connection_state is PeerConnectionState.CONNECTED)
    found = [changes.get(timeout=WAIT), changes.get(timeout=WAIT)]
    assert [getattr(each, "state", None) for each in found] == [
        PeerConnectionState.CONNECTING,
        PeerConnectionState.CONNECTED,
    ]


def test_files_go_over_tls(tls_server: Server, pki: Pki, make: Connect) -> None:
    client = make(url=tls_server.url, tls=rtmsync.TlsConfig(ca_file=str(pki.ca_file)))
    client.login()
    message = client.upload_file(DATA).result(WAIT)
    assert client.download(message).result(WAIT) == DATA


def test_files_go_through_a_proxy_as_messages_do(
    make: Connect, server: Server, relay: Callable[..., Relay]
) -> None:
    way = relay(server.port, proxy=True)
    client = make(proxy=f"http://127.0.0.1:{way.port}")
    client.login()
    client.upload_file(b"hello").result(WAIT)
    asked = [request for request in way.requests if request.startswith(f"CONNECT 127.0.0.1:{server.port} ")]
    assert len(asked) >= 2  # the connection for messages, and that of the file


def test_ctrl_c_ends_the_wait_and_not_the_transfer(connect: Connect) -> None:
    client = connect()
    media_id = client.upload_file(DATA).result(WAIT).media_id
    slow = Slow()
    transfer = client.download(media_id, slow)  # type: ignore[arg-type]
    timer = threading.Timer(0.2, lambda: os.kill(os.getpid(), signal.SIGINT))
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may come before the wait has begun
        timer.start()
        transfer.result(WAIT)
    timer.join()
    assert not transfer.done
    slow.may.set()
    assert transfer.result(WAIT) == len(DATA)


def test_a_cancel_from_a_signal_handler_is_safe(connect: Connect) -> None:
    client = connect()
    media_id = client.upload_file(DATA).result(WAIT).media_id
    slow = Slow()
    transfer = client.download(media_id, slow)  # type: ignore[arg-type]
    before = signal.signal(signal.SIGUSR1, lambda *_: transfer.cancel())
    try:
        os.kill(os.getpid(), signal.SIGUSR1)
    finally:
        signal.signal(signal.SIGUSR1, before)
    slow.may.set()
    with pytest.raises(TransferCancelled):
        transfer.result(WAIT)


def test_a_connection_that_breaks_at_a_write_is_replaced_at_once(
    connect: Connect, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As those to a server that ends at this moment do: no byte and no timer tells of it."""
    write, broken = Link.write, []

    def break_first(link: Link, data: bytes) -> None:
        if threading.current_thread().name.startswith("rtm-download") and len(broken) < 3 and link.sock:
            broken.append(link.id)
            link.sock.shutdown(socket.SHUT_WR)
        write(link, data)

    client = connect()
    media_id = client.upload_file(DATA).result(WAIT).media_id
    monkeypatch.setattr(Link, "write", break_first)
    begun = time.monotonic()
    assert client.download(media_id).result(WAIT) == DATA
    assert len(broken) == 3
    # Which each of the three would have taken to be noticed.
    assert time.monotonic() - begun < MEDIA_STALL_TIMEOUT


# --- Codes -----------------------------------------------------------------------------------------------------


@pytest.mark.produces(UploadMediaError.OK, DownloadMediaError.OK)
def test_what_goes_up_comes_down(connect: Connect) -> None:
    ann = connect()
    assert ann.download(ann.upload_file(b"x").result(WAIT)).result(WAIT) == b"x"


@pytest.mark.produces(UploadMediaError.NOT_LOGGED_IN, DownloadMediaError.NOT_LOGGED_IN)
def test_without_a_login_there_are_no_transfers(make: Connect) -> None:
    client = make()
    with pytest.raises(NotLoggedIn) as up:
        client.upload_file(b"x")
    assert up.value.code is UploadMediaError.NOT_LOGGED_IN
    with pytest.raises(NotLoggedIn) as down:
        client.download("abc")
    assert down.value.code is DownloadMediaError.NOT_LOGGED_IN


@pytest.mark.produces(UploadMediaError.NOT_INITIALIZED, DownloadMediaError.NOT_INITIALIZED)
def test_a_closed_client_transfers_nothing(connect: Connect, tmp_path: Path) -> None:
    client = connect()
    client.close()
    with pytest.raises(ClientClosed) as up:
        client.upload_image(b"x")
    assert up.value.code is UploadMediaError.NOT_INITIALIZED
    with pytest.raises(ClientClosed) as down:
        client.download("abc", tmp_path / "x")
    assert down.value.code is DownloadMediaError.NOT_INITIALIZED
    assert os.listdir(tmp_path) == []


@pytest.mark.produces(UploadMediaError.INVALID_ARGUMENT)
def test_what_cannot_be_uploaded_is_refused_at_once(connect: Connect, tmp_path: Path) -> None:
    client = connect()
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    (tmp_path / "empty").touch()
    bad: list[tuple[Any, dict[str, Any]]] = [
        (tmp_path / "nowhere", {}),
        (tmp_path, {}),
        (".", {}),
        (fifo, {}),
        (tmp_path / "empty", {}),
        ("a\0b", {}),
        (b"", {}),
        (5, {}),
        (None, {}),
        (io.StringIO("text"), {}),
        (b"x", {"name": "a/b"}),
        (b"x", {"name": "n" * (MEDIA_NAME_BYTES + 1)}),
        (b"x", {"thumbnail": bytes(40_000)}),
        (b"x", {"description": "d" * 40_000}),
    ]
    for source, options in bad:
        with pytest.raises(InvalidArgument) as caught:
            client.upload_file(source, **options)
        assert caught.value.code is UploadMediaError.INVALID_ARGUMENT, source
    with pytest.raises(InvalidArgument, match=r"nowhere' cannot be read: No such file"):
        client.upload_file(tmp_path / "nowhere")
    with pytest.raises(InvalidArgument) as empty:
        client.upload_file(Pipe(b"")).result(WAIT)  # type: ignore[arg-type]
    assert empty.value.code is UploadMediaError.INVALID_ARGUMENT


@pytest.mark.produces(UploadMediaError.SIZE_OVERFLOW)
def test_a_file_is_at_most_30_mib(connect: Connect, tmp_path: Path) -> None:
    client = connect()
    path = tmp_path / "large"
    with path.open("wb") as file:
        file.truncate(MEDIA_BYTES + 1)
    with pytest.raises(LimitExceeded) as caught:
        client.upload_file(path)
    assert caught.value.code is UploadMediaError.SIZE_OVERFLOW
    with path.open("rb") as stream, pytest.raises(LimitExceeded) as late:
        client.upload_file(stream).result(WAIT)
    assert late.value.code is UploadMediaError.SIZE_OVERFLOW
    assert client.upload_file(bytes(MEDIA_BYTES)).result(WAIT).size == MEDIA_BYTES


@pytest.mark.produces(
    UploadMediaError.CONCURRENCY_LIMIT_EXCEEDED, DownloadMediaError.CONCURRENCY_LIMIT_EXCEEDED
)
def test_nine_transfers_run_at_once(connect: Connect) -> None:
    client = connect()
    media_id = client.upload_file(DATA).result(WAIT).media_id
    slow = Slow()
    running: list[Transfer[Any]] = [client.download(media_id, slow) for _ in range(MEDIA_TRANSFERS)]  # type: ignore[arg-type]
    with pytest.raises(LimitExceeded) as up:
        client.upload_file(b"x")
    assert up.value.code is UploadMediaError.CONCURRENCY_LIMIT_EXCEEDED
    with pytest.raises(LimitExceeded) as down:
        client.download(media_id)
    assert down.value.code is DownloadMediaError.CONCURRENCY_LIMIT_EXCEEDED
    slow.may.set()
    running[0].result(WAIT)
    assert client.upload_file(b"x").result(WAIT).size == 1
    for transfer in running:
        transfer.result(WAIT)


@pytest.mark.produces(UploadMediaError.TIMEOUT, DownloadMediaError.TIMEOUT)
def test_a_transfer_in_which_nothing_moves_ends(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    media_id = connect().upload_file(b"x").result(WAIT).media_id
    client = connect(url=proxied, timeouts={"upload": 4, "download": 4})
    proxy.refuse()
    up, down = client.upload_file(DATA), client.download(media_id)
    with pytest.raises(RequestTimeout) as late:
        up.result(WAIT)
    assert late.value.code is UploadMediaError.TIMEOUT
    with pytest.raises(RequestTimeout) as lost:
        down.result(WAIT)
    assert lost.value.code is DownloadMediaError.TIMEOUT
    assert lost.value.__cause__ is not None


@pytest.mark.produces(DownloadMediaError.NOT_EXIST)
def test_a_file_that_the_server_does_not_have(connect: Connect, tmp_path: Path) -> None:
    with pytest.raises(TransferFailed) as caught:
        connect().download("no-such-file", tmp_path / "x").result(WAIT)
    assert caught.value.code is DownloadMediaError.NOT_EXIST
    assert os.listdir(tmp_path) == []


@pytest.mark.produces(DownloadMediaError.INVALID_ARGUMENT)
def test_what_cannot_be_downloaded_is_refused_at_once(connect: Connect, tmp_path: Path) -> None:
    client = connect()
    bad: list[tuple[Any, Any]] = [
        ("", None),
        ("a/b", None),
        (5, None),
        (PeerMessage("ann", rtmsync.MessageType.TEXT, b"hello", 1), None),
        ("abc", tmp_path),
        ("abc", tmp_path / "nowhere" / "x"),
        ("abc", "a\0b"),
        ("abc", 5),
        ("abc", io.StringIO()),
    ]
    for media, to in bad:
        with pytest.raises(InvalidArgument) as caught:
            client.download(media, to)
        assert caught.value.code is DownloadMediaError.INVALID_ARGUMENT, (media, to)
    with pytest.raises(InvalidArgument, match=r"nowhere/x' cannot be written: No such file"):
        client.download("abc", tmp_path / "nowhere" / "x")


def test_a_part_that_cannot_be_is_refused_at_once(connect: Connect, tmp_path: Path) -> None:
    client, about = connect(), FileMessage("abc", 10)
    message = PeerMessage("ann", rtmsync.MessageType.FILE, encode_file(about), 1)
    huge: int = 10**5000
    bad: list[tuple[Any, Any, str]] = [
        *(
            (start, None, "start of a part .* 0 to 9: .* 10 bytes")
            for start in (-1, 10, huge, True, 1.0, None)
        ),
        *((3, stop, "stop of a part .* 4 to 10: .* 10 bytes") for stop in (3, 2, -1, 11, huge, 5.0, "5")),
    ]
    for start, stop, words in bad:
        for media in (about, message):
            with pytest.raises(InvalidArgument, match=words) as caught:
                client.download(media, tmp_path / "x", start=start, stop=stop)
            assert caught.value.code is DownloadMediaError.INVALID_ARGUMENT
    assert os.listdir(tmp_path) == []


def test_no_part_lies_behind_the_size_that_any_file_has(connect: Connect) -> None:
    client = connect()
    for start, stop in ((MEDIA_BYTES, None), (0, MEDIA_BYTES + 1)):
        with pytest.raises(InvalidArgument, match=f"at most {MEDIA_BYTES} bytes"):
            client.download("abc", start=start, stop=stop)


@pytest.mark.parametrize(("start", "stop"), [(10, None), (10, 11), (3, 11)])
def test_a_part_that_the_server_does_not_have_is_a_failure(
    connect: Connect, tmp_path: Path, start: int, stop: int | None
) -> None:
    client = connect()
    media_id = client.upload_file(bytes(10)).result(WAIT).media_id
    with pytest.raises(TransferFailed, match="10 bytes") as caught:
        client.download(media_id, tmp_path / "x", start=start, stop=stop).result(WAIT)
    assert caught.value.code is DownloadMediaError.FAILURE
    assert os.listdir(tmp_path) == []


@pytest.mark.produces(UploadMediaError.FAILURE, DownloadMediaError.FAILURE)
def test_streams_that_fail_end_the_transfer(connect: Connect) -> None:
    class Broken(io.RawIOBase):
        def readable(self) -> bool:
            return True

        def writable(self) -> bool:
            return True

        def readinto(self, buffer: Any) -> int:
            raise OSError(5, "The disk is on fire")

        def write(self, data: Any) -> int:
            raise OSError(5, "The disk is on fire")

    client = connect()
    media_id = client.upload_file(b"x").result(WAIT).media_id
    with pytest.raises(TransferFailed, match="on fire") as up:
        client.upload_file(Broken()).result(WAIT)  # type: ignore[arg-type]
    assert up.value.code is UploadMediaError.FAILURE
    with pytest.raises(TransferFailed, match="on fire") as down:
        client.download(media_id, Broken()).result(WAIT)  # type: ignore[arg-type]
    assert down.value.code is DownloadMediaError.FAILURE


def test_a_file_that_changes_while_it_is_uploaded_is_not_kept(
    connect: Connect, proxy: FaultProxy, proxied: str, tmp_path: Path
) -> None:
    path = tmp_path / "a"
    path.write_bytes(DATA)
    client = connect(url=proxied)
    proxy.throttle(4_000_000)

    def change(progress: Progress) -> None:
        if progress.done == 0:
            path.write_bytes(DATA[::-1])

    with pytest.raises(TransferFailed):
        client.upload_file(path, on_progress=change).result(WAIT)


@pytest.mark.produces(
    UploadMediaError.INTERRUPTED,
    DownloadMediaError.INTERRUPTED,
    CancelMediaError.OK,
    CancelMediaError.NOT_EXIST,
)
def test_a_canceled_transfer_is_interrupted_and_leaves_nothing(
    connect: Connect, proxy: FaultProxy, proxied: str, tmp_path: Path
) -> None:
    client = connect(url=proxied)
    message = client.upload_file(DATA).result(WAIT)
    proxy.throttle(50_000)
    up: Transfer[Any] = client.upload_file(DATA)
    down: Transfer[Any] = client.download(message, tmp_path / "x")
    for transfer, code in ((up, UploadMediaError.INTERRUPTED), (down, DownloadMediaError.INTERRUPTED)):
        eventually(lambda transfer=transfer: transfer.progress.done > 0)  # type: ignore[misc]
        begun = time.monotonic()
        transfer.cancel()
        with pytest.raises(TransferCancelled) as caught:
            transfer.result(WAIT)
        assert time.monotonic() - begun < 10
        assert caught.value.code is code
        with pytest.raises(TransferFailed) as again:
            transfer.cancel()
        assert again.value.code is CancelMediaError.NOT_EXIST
    assert os.listdir(tmp_path) == []


@pytest.mark.produces(CancelMediaError.NOT_LOGGED_IN, CancelMediaError.NOT_INITIALIZED)
def test_logout_and_close_interrupt_transfers(connect: Connect) -> None:
    client = connect()
    media_id = client.upload_file(DATA).result(WAIT).media_id
    slow = Slow()
    transfer = client.download(media_id, slow)  # type: ignore[arg-type]
    client.logout()
    slow.may.set()
    with pytest.raises(TransferCancelled):
        transfer.result(WAIT)
    with pytest.raises(NotLoggedIn) as caught:
        transfer.cancel()
    assert caught.value.code is CancelMediaError.NOT_LOGGED_IN
    client.login()
    slow = Slow()
    slow.may.set()
    transfer = client.download(media_id, slow)  # type: ignore[arg-type]
    client.close()
    with contextlib.suppress(TransferCancelled):
        transfer.result(WAIT)
    with pytest.raises(ClientClosed) as closed:
        transfer.cancel()
    assert closed.value.code is CancelMediaError.NOT_INITIALIZED


def test_who_is_put_out_by_another_login_loses_transfers(connect: Connect, name: str) -> None:
    first = connect(name)
    media_id = first.upload_file(DATA).result(WAIT).media_id
    slow = Slow()
    transfer = first.download(media_id, slow)  # type: ignore[arg-type]
    connect(name)
    first.wait_until(rtmsync.ConnectionState.ABORTED)
    # The state is seen a moment before all that follows from it has been done; a call comes after that.
    with pytest.raises(rtmsync.Aborted):
        first.send_peer(name, "x")
    slow.may.set()
    with pytest.raises(TransferCancelled):
        transfer.result(WAIT)


@pytest.mark.produces(CancelMediaError.FAILURE)
def test_a_forked_child_has_no_part_in_transfers(connect: Connect) -> None:
    client = connect()
    media_id = client.upload_file(DATA).result(WAIT).media_id
    slow = Slow()
    transfer = client.download(media_id, slow)  # type: ignore[arg-type]
    child = os.fork()
    if child == 0:
        status = 1
        try:
            try:
                transfer.cancel()
            except TransferFailed as error:
                status = 0 if error.code is CancelMediaError.FAILURE else 2
            try:
                transfer.result()
                status = 3
            except rtmsync.ForkedClient:
                pass
        finally:
            os._exit(status)
    assert os.waitpid(child, 0)[1] == 0
    slow.may.set()
    assert transfer.result(WAIT) == len(DATA)


def test_waiting_for_a_result_takes_as_long_as_was_said(connect: Connect) -> None:
    client = connect()
    media_id = client.upload_file(DATA).result(WAIT).media_id
    slow = Slow()
    transfer = client.download(media_id, slow)  # type: ignore[arg-type]
    with pytest.raises(RequestTimeout) as caught:
        transfer.result(0.05)
    assert caught.value.code is None
    assert not transfer.done
    assert "under way" in repr(transfer)
    slow.may.set()
    assert transfer.result(WAIT) == len(DATA)
    assert transfer.done


def test_a_progress_callback_cannot_wait_for_its_transfer(connect: Connect) -> None:
    client = connect()
    caught: list[BaseException] = []
    ready = threading.Event()

    def wait(_: Progress) -> None:
        ready.wait(WAIT)
        try:
            transfer.result()
        except rtmsync.WouldDeadlock as error:
            caught.append(error)

    transfer = client.upload_file(b"x", on_progress=wait)
    ready.set()
    assert transfer.result(WAIT).size == 1
    assert len(caught) == 2


def test_a_progress_callback_may_cancel_its_transfer(connect: Connect) -> None:
    client = connect()
    box: list[Transfer[Any]] = []
    ready = threading.Event()

    def cancel(_: Progress) -> None:
        ready.wait(WAIT)
        if not box[0].done:
            box[0].cancel()

    box.append(client.upload_file(DATA, on_progress=cancel))
    ready.set()
    with pytest.raises(TransferCancelled):
        list(box[0])


def test_a_block_that_ends_cancels(connect: Connect, proxy: FaultProxy, proxied: str) -> None:
    client = connect(url=proxied)
    proxy.throttle(500_000)
    with client.upload_file(DATA) as transfer:
        pass
    with pytest.raises(TransferCancelled):
        transfer.result(WAIT)
    with client.upload_file(b"x") as transfer:
        transfer.result(WAIT)
