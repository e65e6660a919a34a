"""WebSocket framing, held against stock wsproto as the judge of what RFC 6455 allows."""

import struct
import time
from collections.abc import Iterable, Sequence
from itertools import count, pairwise

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from wsproto.connection import Connection, ConnectionType
from wsproto.events import BytesMessage, CloseConnection, Ping, Pong, TextMessage

from rtmcore.codes import CloseCode
from rtmcore.errors import LocalProtocolError, RemoteProtocolError
from rtmcore.limits import CLOSE_REASON_BYTES, CONTROL_FRAMES_PER_READ, FRAGMENTS_PER_MESSAGE, FRAME_BYTES
from rtmcore.wire.framing import Framing, check_close_code, server_frame

CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG = 0x0, 0x1, 0x2, 0x8, 0x9, 0xA
KEY = b"\x37\xfa\x21\x3d"
ROLES = [pytest.param(True, id="client"), pytest.param(False, id="server")]


def raw(
    opcode: int,
    payload: bytes = b"",
    *,
    to_client: bool = False,
    fin: bool = True,
    rsv: int = 0,
    masked: bool | None = None,
    length: int | None = None,
    form: int | None = None,
) -> bytes:
    """A frame, right or wrong in every way that can be told by its bytes."""
    size = len(payload) if length is None else length
    form = form or (1 if size < 126 else 2 if size < 65536 else 8)
    short = {1: size, 2: 126, 8: 127}[form]
    extended = {1: b"", 2: struct.pack("!H", size % 65536), 8: struct.pack("!Q", size)}[form]
    mask = not to_client if masked is None else masked
    head = bytes((fin << 7 | rsv << 4 | opcode, mask << 7 | short)) + extended
    if not mask:
        return head + payload
    return head + KEY + bytes(byte ^ KEY[index % 4] for index, byte in enumerate(payload))


def make(client: bool, *, text: bool = False, **options: int) -> Framing:
    return Framing(client=client, text=text, mask_key=(lambda: KEY) if client else None, **options)


def stock_events(stream: bytes, *, client: bool) -> list[object]:
    """What stock wsproto makes of a stream, up to its first close or failure."""
    connection = Connection(ConnectionType.CLIENT if client else ConnectionType.SERVER)
    connection.receive_data(stream)
    events = []
    for event in connection.events():
        events.append(event)
        if isinstance(event, CloseConnection):
            break
    return events


def stock_outcome(stream: bytes, *, client: bool) -> tuple[list[tuple[int, bytes]], list[bytes], int | None]:
    """Messages with their kind, payloads of the pings, and the code of the end."""
    messages, pings, code, parts = [], [], None, b""
    for event in stock_events(stream, client=client):
        if isinstance(event, BytesMessage | TextMessage):
            parts += event.data if isinstance(event, BytesMessage) else event.data.encode()
            if event.message_finished:
                messages.append((BINARY if isinstance(event, BytesMessage) else TEXT, parts))
                parts = b""
        elif isinstance(event, Ping):
            pings.append(bytes(event.payload))
        elif isinstance(event, CloseConnection):
            code = int(event.code)
    return messages, pings, code


def run(framing: Framing, pieces: Iterable[bytes]) -> tuple[list[bytes], bytes]:
    messages, output = [], b""
    for piece in pieces:
        messages += framing.receive(piece)
        output += framing.data_to_send()
    return messages, output


def cut(stream: bytes, cuts: Sequence[int]) -> list[bytes]:
    places = sorted({place % (len(stream) + 1) for place in cuts} | {0, len(stream)})
    return [stream[start:end] for start, end in pairwise(places)]


def drip(stream: bytes) -> list[bytes]:
    return [stream[index : index + 1] for index in range(len(stream))]


# --- Against the oracle ---------------------------------------------------------------------------------------

SMALL_MAX = 200
# Completes whatever frame is open and then breaks the rules, so that no verdict is left pending.
PADDING = bytes(2 * SMALL_MAX)

text_payloads = st.text(max_size=40).map(str.encode)
payloads = st.one_of(st.binary(max_size=SMALL_MAX), text_payloads)


@st.composite
def valid_messages(draw: st.DrawFn, to_client: bool, opcode: int) -> bytes:
    payload = draw(text_payloads if opcode == TEXT else payloads)[:SMALL_MAX]
    if opcode == TEXT:
        payload = payload.decode("utf-8", "ignore").encode()
    pieces = cut(payload, draw(st.lists(st.integers(0, SMALL_MAX), max_size=3))) or [b""]
    stream = b""
    for index, piece in enumerate(pieces):
        fin = index == len(pieces) - 1
        stream += raw(CONTINUATION if index else opcode, piece, to_client=to_client, fin=fin)
        if draw(st.booleans()):
            control = draw(st.sampled_from([PING, PONG]))
            stream += raw(control, draw(st.binary(max_size=125)), to_client=to_client)
    return stream


ODDITIES = st.one_of(
    st.fixed_dictionaries(
        {"opcode": st.sampled_from([CONTINUATION, TEXT, BINARY, 3, 7, CLOSE, PING, 0xB, 0xF])}
    ),
    st.fixed_dictionaries({"fin": st.just(False)}),
    st.fixed_dictionaries({"rsv": st.sampled_from([1, 2, 4])}),
    st.fixed_dictionaries({"masked": st.booleans()}),
    st.fixed_dictionaries({"form": st.sampled_from([2, 8])}),
    st.fixed_dictionaries({"length": st.integers(0, 2**63)}),
)


@st.composite
def odd_frames(draw: st.DrawFn, to_client: bool, opcode: int) -> bytes:
    """A frame with one or two things in it that are often wrong."""
    oddities = draw(ODDITIES) | draw(st.one_of(st.just({}), ODDITIES))
    oddities.setdefault("opcode", draw(st.sampled_from([opcode, opcode, opcode, PING])))
    return raw(payload=draw(payloads)[:130], to_client=to_client, **oddities)


@st.composite
def close_frames(draw: st.DrawFn, to_client: bool) -> bytes:
    code = draw(st.one_of(st.sampled_from([1000, 1001, 1011, 1015, 4000, 4500]), st.integers(0, 65535)))
    reason = draw(st.one_of(text_payloads, st.binary(max_size=20)))[:120]
    return raw(CLOSE, struct.pack("!H", code) + reason, to_client=to_client)


@st.composite
def streams(draw: st.DrawFn, to_client: bool, opcode: int) -> bytes:
    common = valid_messages(to_client, opcode)
    parts = draw(
        st.lists(
            st.one_of(common, common, common, odd_frames(to_client, opcode), close_frames(to_client)),
            max_size=6,
        )
    )
    stream = bytearray(b"".join(parts))
    for place, value in draw(st.lists(st.tuples(st.integers(0, 2000), st.integers(0, 255)), max_size=2)):
        if stream and draw(st.booleans()):
            stream[place % len(stream)] = value
    return bytes(stream)


@pytest.mark.parametrize("client", ROLES)
@pytest.mark.parametrize("text", [pytest.param(True, id="text"), pytest.param(False, id="binary")])
@settings(max_examples=400, deadline=None, suppress_health_check=list(HealthCheck))
@given(data=st.data())
def test_agrees_with_stock_wsproto_however_the_stream_is_cut(
    client: bool, text: bool, data: st.DataObject
) -> None:
    opcode = TEXT if text else BINARY
    stream = data.draw(streams(client, opcode)) + PADDING
    cuts = data.draw(st.lists(st.integers(0, len(stream)), max_size=8))
    kinds, pings, code = stock_outcome(stream, client=client)
    wrong_kind = next((index for index, (kind, _) in enumerate(kinds) if kind != opcode), len(kinds))
    expected = [payload for _, payload in kinds[:wrong_kind]]

    outcomes = []
    for pieces in ([stream], drip(stream), cut(stream, cuts)):
        framing = make(client, text=text, max_message=SMALL_MAX)
        messages, output = run(framing, pieces)
        sent = stock_events(output, client=not client)
        pongs = [bytes(event.payload) for event in sent if isinstance(event, Pong)]
        outcomes.append((messages, pongs, framing.close_code, framing.peer_close, framing.closed))
    assert outcomes[0] == outcomes[1] == outcomes[2]

    messages, pongs, own_code, _, closed = outcomes[0]
    assert messages == expected[: len(messages)]
    assert pongs == pings[: len(pongs)]
    if own_code in (CloseCode.UNSUPPORTED_DATA, CloseCode.POLICY, CloseCode.TOO_BIG):
        assert closed  # rules that stock wsproto does not have
    elif own_code == 1014:
        assert code == CloseCode.PROTOCOL_ERROR  # registered since, and refused by stock wsproto
    else:
        assert (messages, pongs, own_code) == (expected, pings, code)


@pytest.mark.parametrize("client", ROLES)
@settings(max_examples=300, deadline=None)
@given(stream=st.binary(max_size=300), text=st.booleans())
def test_garbage_never_raises_and_ends_the_same_however_it_is_cut(
    client: bool, text: bool, stream: bytes
) -> None:
    whole, dripped = make(client, text=text), make(client, text=text)
    assert run(whole, [stream])[0] == run(dripped, drip(stream))[0]
    assert whole.close_code == dripped.close_code


# --- Whole messages -------------------------------------------------------------------------------------------

SIZES = [0, 1, 3, 4, 5, 100, 125, 126, 127, 511, 512, 513, 514, 65535, 65536, FRAME_BYTES]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("client", ROLES)
@pytest.mark.parametrize("text", [True, False])
def test_frames_of_every_length_form_reach_the_other_side_and_stock_wsproto(
    client: bool, text: bool, size: int
) -> None:
    payload = bytes(index % 127 if text else index % 251 for index in range(size))
    sender, receiver = make(client, text=text), make(not client, text=text)
    frame = sender.frame(payload)
    assert receiver.receive(frame) == [payload]
    assert receiver.receive(frame * 3) == [payload] * 3
    assert stock_outcome(frame, client=not client) == ([(TEXT if text else BINARY, payload)], [], None)
    assert frame == raw(TEXT if text else BINARY, payload, to_client=not client)


def test_the_server_frame_is_what_a_server_sends() -> None:
    assert server_frame(b"news", False) == make(False).frame(b"news") == b"\x82\x04news"
    assert server_frame(b"news", True) == make(False, text=True).frame(b"news") == b"\x81\x04news"


def test_a_client_takes_a_new_mask_for_each_frame() -> None:
    keys = (number.to_bytes(4, "big") for number in count(1))
    client = Framing(client=True, text=False, mask_key=lambda: next(keys))
    assert client.frame(b"\0\0\0\0") == b"\x82\x84" + (1).to_bytes(4, "big") * 2
    assert client.frame(b"\0\0\0\0") == b"\x82\x84" + (2).to_bytes(4, "big") * 2
    client.receive(raw(PING, b"\0\0\0\0", to_client=True))
    assert client.data_to_send() == b"\x8a\x84" + (3).to_bytes(4, "big") * 2
    client.close()
    assert client.data_to_send()[2:6] == (4).to_bytes(4, "big")


def test_only_a_client_has_mask_keys() -> None:
    with pytest.raises(LocalProtocolError, match="mask"):
        Framing(client=True, text=False)
    with pytest.raises(LocalProtocolError, match="mask"):
        Framing(client=False, text=False, mask_key=lambda: KEY)


@pytest.mark.parametrize("client", ROLES)
def test_what_came_with_the_handshake_is_parsed_first(client: bool) -> None:
    first, second = (raw(BINARY, payload, to_client=client) for payload in (b"one", b"two"))
    options = {"client": client, "text": False, "mask_key": (lambda: KEY) if client else None}
    assert Framing(**options, trailing=first).receive(b"") == [b"one"]
    assert Framing(**options, trailing=first).receive(second) == [b"one", b"two"]
    halves = Framing(**options, trailing=first[:1])
    assert halves.receive(b"") == []
    assert halves.receive(first[1:] + second) == [b"one", b"two"]


@pytest.mark.parametrize("client", ROLES)
def test_fragments_are_joined_and_the_direct_way_goes_on_behind_them(client: bool) -> None:
    framing = make(client)
    stream = b"".join(
        (
            raw(BINARY, b"whole", to_client=client),
            raw(BINARY, b"a", fin=False, to_client=client),
            raw(PING, b"between", to_client=client),
            raw(CONTINUATION, b"b", fin=False, to_client=client),
            raw(CONTINUATION, b"c", to_client=client),
            raw(BINARY, b"whole again", to_client=client),
        )
    )
    assert run(framing, drip(stream)) == (
        [b"whole", b"abc", b"whole again"],
        raw(PONG, b"between", to_client=not client),
    )


def test_a_dripped_message_costs_the_same_for_each_byte() -> None:
    def seconds(size: int) -> float:
        pieces = drip(raw(BINARY, bytes(size)))
        best = float("inf")
        for _ in range(3):
            framing = make(False, max_message=size)
            start = time.process_time()
            messages, _ = run(framing, pieces)
            best = min(best, time.process_time() - start)
            assert messages == [bytes(size)]
        return best

    # Eight times the bytes; rescanning or copying what is there at each byte would take 64 times as long.
    assert seconds(256 * 1024) < 24 * seconds(32 * 1024)


# --- Text -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ROLES)
@pytest.mark.parametrize("payload", [b"\xff", b"ok \xc3", b"\xed\xa0\x80", b"\xc0\x80", b"\xf4\x90\x80\x80"])
def test_text_that_is_not_utf8_closes_with_1007(client: bool, payload: bytes) -> None:
    framing = make(client, text=True)
    good, bad = raw(TEXT, "ß€😀".encode(), to_client=client), raw(TEXT, payload, to_client=client)
    assert framing.receive(good + bad + good) == ["ß€😀".encode()]
    assert framing.close_code == CloseCode.INVALID_DATA


def test_a_character_may_be_split_between_fragments() -> None:
    smile = "😀".encode()
    framing = make(False, text=True)
    assert framing.receive(raw(TEXT, smile[:1], fin=False) + raw(CONTINUATION, smile[1:])) == [smile]
    framing.receive(raw(TEXT, smile[:1], fin=False) + raw(CONTINUATION, b"x"))
    assert framing.close_code == CloseCode.INVALID_DATA


@pytest.mark.parametrize("client", ROLES)
@pytest.mark.parametrize("text", [True, False])
@pytest.mark.parametrize("fin", [True, False])
def test_the_other_kind_of_message_closes_with_1003(client: bool, text: bool, fin: bool) -> None:
    framing = make(client, text=text)
    framing.receive(raw(BINARY if text else TEXT, b"x", fin=fin, to_client=client))
    assert framing.close_code == CloseCode.UNSUPPORTED_DATA
    assert "binary" in str(framing.error)
    assert "text" in str(framing.error)


# --- Limits ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ROLES)
def test_a_frame_that_is_too_long_is_refused_by_its_header(client: bool) -> None:
    before = raw(BINARY, b"before", to_client=client)
    header = raw(BINARY, length=2**62, form=8, to_client=client)
    framing = make(client)
    messages, _ = run(framing, [before, *drip(header[:-1])])
    assert messages == [b"before"]
    assert not framing.closed
    assert framing.receive(header[-1:]) == []
    assert framing.close_code == CloseCode.TOO_BIG
    assert framing.closed
    assert framing.receive(before) == []


@pytest.mark.parametrize("size", [10, 125, 126, 1000, 65535, 65536])
def test_the_longest_message_passes_and_one_byte_more_does_not(size: int) -> None:
    framing = make(False, max_message=size)
    assert framing.receive(raw(BINARY, bytes(size))) == [bytes(size)]
    assert framing.receive(raw(BINARY, bytes(size + 1))) == []
    assert framing.close_code == CloseCode.TOO_BIG
    assert f"{size} are allowed" in str(framing.error)


def test_fragments_count_together_before_their_payload_comes() -> None:
    framing = make(False, max_message=100)
    first, last = raw(BINARY, bytes(60), fin=False), raw(CONTINUATION, bytes(40))
    assert framing.receive(first + last) == [bytes(100)]
    assert framing.receive(first + raw(CONTINUATION, length=41)) == []
    assert framing.close_code == CloseCode.TOO_BIG


def test_a_message_may_have_so_many_fragments_and_no_more() -> None:
    head, more, last = (
        raw(opcode, fin=fin) for opcode, fin in ((BINARY, False), (CONTINUATION, False), (CONTINUATION, True))
    )
    framing = make(False)
    for _ in range(2):
        assert framing.receive(head + more * (FRAGMENTS_PER_MESSAGE - 2) + last) == [b""]
    assert framing.receive(head + more * 100_000) == []
    assert framing.close_code == CloseCode.POLICY
    dripped = make(False)
    assert run(dripped, drip(head + more * (FRAGMENTS_PER_MESSAGE - 2) + last))[0] == [b""]


@pytest.mark.parametrize("opcode", [PING, PONG])
def test_a_flood_of_pings_closes_with_1008_behind_the_messages_before_it(opcode: int) -> None:
    control = raw(opcode, b"!")
    framing = make(False)
    for _ in range(3):
        framing.receive(control * CONTROL_FRAMES_PER_READ)
    assert not framing.closed
    assert framing.receive(raw(BINARY, b"before") + control * (CONTROL_FRAMES_PER_READ + 1)) == [b"before"]
    assert framing.close_code == CloseCode.POLICY


# --- Broken rules ---------------------------------------------------------------------------------------------

BROKEN = {
    "rsv1, which would be compression": {"opcode": BINARY, "payload": b"x", "rsv": 4},
    "rsv3": {"opcode": BINARY, "payload": b"x", "rsv": 1},
    "reserved opcode": {"opcode": 3},
    "reserved control opcode": {"opcode": 0xB},
    "length in two bytes too many": {"opcode": BINARY, "payload": b"x", "form": 2},
    "length in eight bytes too many": {"opcode": BINARY, "payload": bytes(300), "form": 8},
    "length with the highest bit": {"opcode": BINARY, "length": 2**63, "form": 8},
    "continuation of nothing": {"opcode": CONTINUATION, "payload": b"x"},
    "fragmented ping": {"opcode": PING, "fin": False},
    "ping of 126 bytes": {"opcode": PING, "payload": bytes(126)},
    "close of one byte": {"opcode": CLOSE, "payload": b"x"},
}


@pytest.mark.parametrize("client", ROLES)
@pytest.mark.parametrize("what", BROKEN)
def test_a_broken_rule_closes_with_1002_once(client: bool, what: str) -> None:
    framing = make(client)
    before = raw(BINARY, b"before", to_client=client)
    assert framing.receive(before + raw(to_client=client, **BROKEN[what]) + before) == [b"before"]
    assert framing.closed
    assert framing.close_code == CloseCode.PROTOCOL_ERROR
    assert isinstance(framing.error, RemoteProtocolError)
    assert framing.error.close_code == CloseCode.PROTOCOL_ERROR
    (answer,) = stock_events(framing.data_to_send(), client=not client)
    assert isinstance(answer, CloseConnection)
    assert answer.code == CloseCode.PROTOCOL_ERROR
    assert answer.reason

    error = framing.error
    assert framing.receive(raw(CLOSE, b"\x03\xe8", to_client=client)) == []
    framing.receive_eof()
    framing.close(1000)
    assert framing.data_to_send() == b""
    assert framing.error is error
    assert framing.peer_close is None


@pytest.mark.parametrize("client", ROLES)
@pytest.mark.parametrize("opcode", [BINARY, PING])
def test_a_mask_in_the_wrong_direction_closes_with_1002(client: bool, opcode: int) -> None:
    framing = make(client)
    framing.receive(raw(opcode, b"x", masked=client))
    assert framing.close_code == CloseCode.PROTOCOL_ERROR


def test_a_new_message_inside_a_fragmented_one_closes_with_1002() -> None:
    framing = make(False)
    assert framing.receive(raw(BINARY, b"a", fin=False) + raw(BINARY, b"b")) == []
    assert framing.close_code == CloseCode.PROTOCOL_ERROR


# --- Closing --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("client", ROLES)
def test_the_peers_close_is_answered_with_its_code_behind_the_pong(client: bool) -> None:
    framing = make(client)
    stream = b"".join(
        (
            raw(BINARY, b"last words", to_client=client),
            raw(PING, b"?", to_client=client),
            raw(CLOSE, struct.pack("!H", 4000) + "später".encode(), to_client=client),
            raw(BINARY, b"afterwards", to_client=client),
        )
    )
    assert framing.receive(stream) == [b"last words"]
    assert framing.peer_close == (4000, "später")
    assert framing.close_code == 4000
    assert framing.error is None
    assert framing.closed
    pong = raw(PONG, b"?", to_client=not client)
    assert framing.data_to_send() == pong + raw(CLOSE, b"\x0f\xa0", to_client=not client)
    assert framing.receive(raw(BINARY, b"afterwards", to_client=client)) == []
    framing.receive_eof()
    assert framing.close_code == 4000
    with pytest.raises(LocalProtocolError):
        framing.frame(b"x")


def test_a_close_without_a_code_reads_1005_and_is_answered_without_one() -> None:
    framing = make(False)
    framing.receive(raw(CLOSE))
    assert framing.peer_close == (1005, "")
    assert framing.data_to_send() == raw(CLOSE, to_client=True)


@pytest.mark.parametrize("code", [1000, 1001, 1002, 1003, 1007, 1011, 1013, 1014, 3000, 3999, 4000, 4999])
def test_registered_and_private_codes_are_understood(code: int) -> None:
    framing = make(True)
    framing.receive(raw(CLOSE, struct.pack("!H", code) + b"why", to_client=True))
    assert framing.peer_close == (code, "why")
    assert framing.data_to_send() == raw(CLOSE, struct.pack("!H", code))


@pytest.mark.parametrize("code", [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535])
def test_codes_that_must_not_be_sent_are_refused_from_the_peer_and_from_us(code: int) -> None:
    framing = make(False)
    framing.receive(raw(CLOSE, struct.pack("!H", code)))
    assert framing.close_code == CloseCode.PROTOCOL_ERROR
    assert framing.peer_close is None
    with pytest.raises(LocalProtocolError, match=str(code)):
        check_close_code(code)
    fresh = make(False)
    with pytest.raises(LocalProtocolError, match=str(code)):
        fresh.close(code)
    assert not fresh.closing


def test_a_close_reason_that_is_not_utf8_closes_with_1007() -> None:
    framing = make(False)
    framing.receive(raw(CLOSE, b"\x03\xe8\xff"))
    assert framing.close_code == CloseCode.INVALID_DATA


@pytest.mark.parametrize("client", ROLES)
def test_our_close_ends_with_the_peers_answer(client: bool) -> None:
    framing = make(client)
    framing.close(CloseCode.SLOW_CONSUMER, "read faster")
    framing.close(CloseCode.SHUTDOWN, "a second one changes nothing")
    assert framing.data_to_send() == raw(CLOSE, b"\x0f\xa4read faster", to_client=not client)
    assert framing.closing
    assert not framing.closed
    assert framing.close_code is None
    with pytest.raises(LocalProtocolError, match="closing"):
        framing.frame(b"x")

    # What the peer sent before it saw the close still arrives; its pings are not answered any more.
    crossed = raw(PING, b"?", to_client=client) + raw(BINARY, b"crossed", to_client=client)
    assert framing.receive(crossed) == [b"crossed"]
    assert framing.data_to_send() == b""
    framing.receive(raw(CLOSE, b"\x0f\xa4", to_client=client))
    assert framing.closed
    assert framing.close_code == CloseCode.SLOW_CONSUMER
    assert framing.data_to_send() == b""


def test_a_broken_rule_behind_our_close_sends_no_second_close_frame() -> None:
    framing = make(False)
    framing.close()
    framing.data_to_send()
    framing.receive(raw(3))
    assert framing.closed
    assert framing.close_code == CloseCode.PROTOCOL_ERROR
    assert framing.data_to_send() == b""


def test_a_close_reason_is_cut_between_characters_and_surrogates_do_no_harm() -> None:
    framing = make(False)
    framing.close(1000, "ä" * 100)
    (event,) = stock_events(framing.data_to_send(), client=True)
    assert isinstance(event, CloseConnection)
    assert event.reason == "ä" * (CLOSE_REASON_BYTES // 2)
    other = make(False)
    other.close(1000, "\ud800!")
    assert other.data_to_send() == raw(CLOSE, b"\x03\xe8?!", to_client=True)


PARTIAL = {
    "nothing": b"",
    "half a header": raw(BINARY, bytes(300))[:3],
    "half a frame": raw(BINARY, bytes(300))[:50],
    "half a ping": raw(PING, bytes(30))[:10],
    "half a message": raw(BINARY, b"a", fin=False),
}


@pytest.mark.parametrize("what", PARTIAL)
def test_the_end_of_the_bytes_is_1006_wherever_it_comes(what: str) -> None:
    framing = make(False)
    assert framing.receive(PARTIAL[what]) == []
    framing.receive_eof()
    framing.receive_eof()
    assert framing.closed
    assert framing.close_code == 1006
    assert framing.peer_close is None
    assert framing.error is None
    assert framing.data_to_send() == b""
    assert framing.receive(raw(BINARY, b"late")) == []
    framing.close()
    assert framing.data_to_send() == b""
