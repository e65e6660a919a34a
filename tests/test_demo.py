"""The demo: what it sends, what it shows, that it notices faults, and that nothing of it stays behind."""

import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from rtmcore.limits import REPLAY_MAX

pytestmark = pytest.mark.timeout(300)

ROOT = Path(__file__).resolve().parents[1]
EXAMPLES = ROOT / "examples"
PATIENCE = 60.0
"""Seconds after which whoever waits has waited long enough, also where the machine is busy."""


@pytest.fixture
def text(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from example(monkeypatch, "demo_text")


@pytest.fixture
def ledger(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from example(monkeypatch, "demo_ledger")


def example(monkeypatch: pytest.MonkeyPatch, name: str) -> Iterator[ModuleType]:
    monkeypatch.syspath_prepend(str(EXAMPLES))
    yield __import__(name)
    del sys.modules[name]


def processes() -> dict[int, str]:
    """The command lines of all processes."""
    found = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                found[int(entry.name)] = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode()
            except OSError:
                continue
    return found


@contextmanager
def demo(
    *arguments: str, folder: Path = EXAMPLES, temporary: Path | None = None
) -> Iterator["subprocess.Popen[str]"]:
    """The demo in a process."""
    with subprocess.Popen(
        [sys.executable, str(folder / "demo.py"), *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ if temporary is None else {**os.environ, "TMPDIR": str(temporary)},
    ) as process:
        try:
            yield process
        finally:
            if process.poll() is None:
                process.kill()


def children_of(process: "subprocess.Popen[str]") -> set[int]:
    """Processes that the demo has started."""
    found = set()
    for number in processes():
        try:
            status = Path(f"/proc/{number}/stat").read_text()
        except OSError:
            continue
        if int(status.rpartition(")")[2].split()[1]) == process.pid:
            found.add(number)
    return found


def until_the_network_is_fine(process: "subprocess.Popen[str]") -> None:
    """Wait until the demo sends lines; it ends by itself where that never comes."""
    assert process.stdout is not None
    said = []
    for line in process.stdout:
        said.append(line)
        if "The network is fine" in line:
            return
    raise AssertionError("the demo has ended; it said:\n" + "".join(said))


def wait_until_gone(numbers: set[int]) -> None:
    deadline = time.monotonic() + PATIENCE
    while numbers & processes().keys():
        assert time.monotonic() < deadline, f"still there: {numbers & processes().keys()}"
        time.sleep(0.02)


def changed(tmp_path: Path, *changes: tuple[str, str, str]) -> Path:
    """A copy of the examples with some texts replaced."""
    folder = tmp_path / "examples"
    shutil.copytree(EXAMPLES, folder, ignore=shutil.ignore_patterns("__pycache__"))
    for name, old, new in changes:
        source = (folder / name).read_text()
        assert old in source, (name, old)
        (folder / name).write_text(source.replace(old, new))
    return folder


# --- The parts ---------------------------------------------------------------------


def test_blank_lines_are_left_out_and_told(text: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"one\r\n\r\n  two\n \t\n\nthree")
    read = text.read_text(path, 10)
    assert read.lines == ["one", "  two", "three"]
    assert read.describe() == "f: 3 lines, blank lines are left out (3)."


def test_what_does_not_fit_is_told(text: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_text("".join(f"{number}\n" for number in range(1000)))
    read = text.read_text(path, 10)
    assert read.lines == [str(number) for number in range(10)]
    assert read.describe() == "f: 10 lines, CUT: 990 further lines do not fit into 20 seconds."


def test_any_bytes_become_lines(text: ModuleType, tmp_path: Path) -> None:
    path = tmp_path / "f"
    path.write_bytes(b"\xef\xbb\xbf\xff\x00\n" + b"x" * 2500 + b"\n")
    assert text.read_text(path, 10).lines == ["\ufffd\0", "x" * 1000, "x" * 1000, "x" * 500]


def test_a_file_without_an_end(text: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "READ_MOST", 100)
    read = text.read_text(Path("/dev/zero"), 10)
    assert read.lines == ["\0" * 100]
    assert not read.complete


@pytest.mark.parametrize("content", [b"", b"\n", b"\n  \n\t"])
def test_there_may_be_nothing_to_send(text: ModuleType, tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "f"
    path.write_bytes(content)
    with pytest.raises(text.NothingToSend):
        text.read_text(path, 10)


@pytest.mark.parametrize("count", [1, 2, 3, 10, 72, 73, 300])
def test_fewer_lines_pass_during_the_interruption_than_a_channel_keeps(text: ModuleType, count: int) -> None:
    lines = [str(number) for number in range(count)]
    before, during, after = text.in_three(lines, 24)
    assert before + during + after == lines
    assert 1 <= len(during) <= 24 < REPLAY_MAX


def stream(ledger: ModuleType, sent: str, got: str) -> object:
    """A stream of one-letter lines whose ids are their places in the alphabet."""
    made = ledger.Stream("alice", "bob", ("bob",))
    made.sent = [ledger.Sent(number, letter, 1.0, ord(letter)) for number, letter in enumerate(sent, 1)]
    made.got["bob"] = [ledger.Got(ord(letter), letter, 1.5) for letter in got]
    return made.check("bob")


@pytest.mark.parametrize(
    ("sent", "got", "missing", "doubled", "out_of_order"),
    [
        ("abc", "abc", 0, 0, 0),
        ("abc", "ab", 1, 0, 0),
        ("abc", "", 3, 0, 0),
        ("abc", "abbc", 0, 1, 0),
        ("abc", "abca", 0, 1, 0),
        ("abc", "acb", 0, 0, 1),
        ("abc", "cab", 0, 0, 2),
        ("abc", "abcx", 0, 1, 0),
    ],
)
def test_the_book_sees_every_fault(
    ledger: ModuleType, sent: str, got: str, missing: int, doubled: int, out_of_order: int
) -> None:
    row = stream(ledger, sent, got)
    assert (row.missing, row.doubled, row.out_of_order) == (missing, doubled, out_of_order)  # type: ignore[attr-defined]
    assert row.good is (sent == got)  # type: ignore[attr-defined]


def test_the_book_compares_texts_and_not_only_ids(ledger: ModuleType) -> None:
    made = ledger.Stream("alice", "bob", ("bob",))
    made.sent = [ledger.Sent(1, "one", 1.0, 7)]
    made.got["bob"] = [ledger.Got(7, "other", 1.5)]
    assert not made.check("bob").good
    assert made.check("bob").latencies == [0.5]


# --- The whole ---------------------------------------------------------------------


@pytest.mark.slow
def test_the_demo_on_the_readme() -> None:
    with demo() as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out
    ended = re.search(r"^ *([\d.]+) s  Checked$", out, re.MULTILINE)
    assert ended is not None, out
    begun = re.search(r"^ *([\d.]+) s  The network is fine$", out, re.MULTILINE)
    assert begun is not None, out
    # By the demo's own clock, of which the first 6 s are for the start of its processes: a slow machine needs more.
    assert float(ended[1]) < 14 + max(6, float(begun[1]))
    assert "\033" not in out
    for user in ("alice", "bob", "carol"):
        assert re.search(rf"{user} +DISCONNECTED -> CONNECTING, reason LOGIN\n", out)
        assert re.search(rf"{user} +CONNECTING -> CONNECTED, reason LOGIN_SUCCESS\n", out)
    interrupted = out.index("CONNECTED -> RECONNECTING, reason INTERRUPTED")
    assert interrupted < out.index("RECONNECTING -> CONNECTED, reason LOGIN_SUCCESS")
    assert out.count("RECONNECTING, reason") == 1 or "this machine stood still" in out
    lines = [line for line in (ROOT / "README.md").read_text().splitlines() if line.strip()]
    table = re.findall(r"^  (\S+ > .+?) +(\d+) +(\d+) +(\d+) +(\d+) +ok ", out, re.MULTILINE)
    assert [row[0] for row in table] == [
        "alice > #readers > bob",
        "alice > #readers > carol",
        "carol > bob",
        "bob > carol",
    ]
    assert all(sent == arrived and missing == doubled == "0" for _, sent, arrived, missing, doubled in table)
    cut = re.search(r"CUT: this machine is too slow for the last (\d+) lines", out)
    wanted = min(len(lines), 300) - (0 if cut is None else int(cut[1]))
    assert wanted >= 24  # what passes during the interruption is sent in any case
    assert [int(row[1]) for row in table[:2]] == [wanted] * 2
    assert int(table[2][1]) + int(table[3][1]) == int(table[0][1])
    assert "serve --dev" in out[out.index("Try it by hand") :]


@pytest.mark.slow
def test_the_demo_on_a_file_that_is_no_text(tmp_path: Path) -> None:
    path = tmp_path / "odd \u00e4.bin"
    path.write_bytes(
        b"\x00\xff\x1b[2J\n" + b"same\n" * 5 + b"long" * 10_000 + b"\r\n\r\n\xe2\x80\xa8" + os.urandom(500)
    )
    with demo(str(path)) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 0, out
    assert "\033" not in out


def test_the_demo_without_anything_to_send(tmp_path: Path) -> None:
    for argument in (tmp_path / "none", tmp_path):
        with demo(str(argument)) as process:
            out, _ = process.communicate(timeout=PATIENCE)
        assert process.returncode == 2
        assert out.startswith("demo: ")


# A short interruption, which the client bridges without a change of state: quick, and a fault of its own. Lines that
# never come are waited for until ten seconds after all have started, however long that took.
FINE = '        self._screen.heading("The network is fine")\n'
SHORT = (
    ("demo.py", "AWAY = 6.0", "AWAY = 0.5"),
    ("demo.py", "BEFORE = 6.0", "BEFORE = 60.0"),
    ("demo.py", "ENOUGH = 14.5", "ENOUGH = 60.0"),
    ("demo.py", FINE, f"        self._give_up = time.monotonic() + 10.0\n{FINE}"),
)

LOSE = """
def faulty(message):
    if message.text != "line 3":
        got_channel_message(message)
"""
DOUBLE = """
def faulty(message):
    got_channel_message(message)
    if message.text == "line 3":
        got_channel_message(message)
"""
SWAP = """
held = []

def faulty(message):
    if message.text == "line 2":
        held.append(message)
        return
    got_channel_message(message)
    if held:
        got_channel_message(held.pop())
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    ("code", "fault"),
    [
        (LOSE, r"1 of \d lines missing, 0 doubled, 0 out of order"),
        (DOUBLE, r"0 of \d lines missing, 1 doubled, 0 out of order"),
        (SWAP, r"0 of \d lines missing, 0 doubled, 1 out of order"),
    ],
    ids=["missing", "doubled", "out of order"],
)
def test_the_demo_fails_when_a_receiver_gets_the_wrong_lines(tmp_path: Path, code: str, fault: str) -> None:
    folder = changed(
        tmp_path,
        *SHORT,
        (
            "demo_user.py",
            "client.on(ChannelMessage, got_channel_message)",
            "client.on(ChannelMessage, faulty)",
        ),
        ("demo_user.py", "def main(", f"{code}\n\ndef main("),
    )
    path = tmp_path / "text"
    path.write_text("".join(f"line {number}\n" for number in range(1, 10)))
    with demo(str(path), folder=folder) as process:
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1, out
    for receiver in ("bob", "carol"):
        assert re.search(f"FAULT: alice > #readers > {receiver}: {fault}", out), out


@pytest.mark.slow
def test_a_machine_that_is_too_slow_sends_less(tmp_path: Path) -> None:
    # However slow it is in truth, it is too slow for the last third, and for nothing else.
    thirds = (
        ("demo.py", "BEFORE = 6.0", "BEFORE = 60.0"),
        ("demo.py", "ENOUGH = 14.5", "ENOUGH = 0.0"),
        ("demo.py", "AWAY = 6.0", "AWAY = 0.5"),
    )
    folder = changed(tmp_path, *thirds)
    path = tmp_path / "text"
    path.write_text("".join(f"line {number}\n" for number in range(1, 100)))
    with demo(str(path), folder=folder) as process:
        out, _ = process.communicate(timeout=2 * PATIENCE)
    assert "CUT: this machine is too slow for the last 38 lines" in out, out
    assert re.search(r"alice > #readers > bob +61 +61 +0 +0 +ok", out), out


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGKILL])
def test_nothing_outlives_the_demo(tmp_path: Path, number: signal.Signals) -> None:
    with demo(temporary=tmp_path) as process:
        until_the_network_is_fine(process)
        children = children_of(process)
        assert len(children) == 4
        process.send_signal(number)
        process.communicate(timeout=PATIENCE)
    assert process.returncode == {signal.SIGINT: 130, signal.SIGTERM: 128 + 15, signal.SIGKILL: -9}[number]
    wait_until_gone(children)
    if number is not signal.SIGKILL:  # after which nobody is left to remove files
        assert list(tmp_path.iterdir()) == []


def test_a_user_who_dies_is_told() -> None:
    with demo() as process:
        until_the_network_is_fine(process)
        carol = next(number for number in children_of(process) if " carol " in processes()[number])
        os.kill(carol, signal.SIGKILL)
        out, _ = process.communicate(timeout=PATIENCE)
    assert process.returncode == 1
    assert "FAULT: The process of carol has ended" in out
