"""The log file of seed 004: what goes into it, how it turns over, and what each setting returns."""

import logging
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

import rtmsync
from rtmcore.limits import KIB, LOG_FILE_BYTES_MAX, LOG_FILE_BYTES_MIN, LOG_FILES
from rtmsync import LogFilter, set_log_file, set_log_file_size, set_log_filters
from rtmsync.server.config import ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys, TokenKey, make_token

APP = "a" * 32
KEY = TokenKey(b"k" * 32)
LOGGER = logging.getLogger("rtmsync")


@pytest.fixture(autouse=True)
def usual_settings() -> Iterator[None]:
    yield
    set_log_file(None)
    set_log_file_size(10_240)
    set_log_filters(LogFilter.INFO)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "rtm.log"


def test_a_log_file_says_what_happens_and_shows_no_secret(path: Path) -> None:
    token = make_token(KEY, app=APP, user="alice", now=time.time())
    assert set_log_file(str(path)) == 0
    with (
        Server(ServerConfig(apps=[AppKeys(APP, (KEY,))], port=0, drain_seconds=0.0)) as server,
        rtmsync.connect(server.url, app_id=APP, user_id="alice", token=token, proxy=None) as alice,
    ):
        inbox = alice.events(rtmsync.PeerMessage)
        alice.send_peer("alice", "a very private message")
        inbox.get(timeout=30)
        with pytest.raises(rtmsync.AuthError):
            rtmsync.connect(server.url, app_id=APP, user_id="bob", token=token, proxy=None)
    text = path.read_text(encoding="utf-8")
    assert "alice is CONNECTED" in text
    assert "INFO rtmsync" in text
    for secret in (token, *token.split("."), "private message", "kkkk"):
        assert secret not in text


def test_there_are_two_files_in_turn_of_the_size_that_was_set(path: Path) -> None:
    assert set_log_file_size(LOG_FILE_BYTES_MIN // KIB) == 0
    assert set_log_file(path) == 0
    for number in range(30):
        LOGGER.info("%d %s", number, "x" * 64 * KIB)
    files = sorted(path.parent.iterdir())
    assert files == [path, path.with_name("rtm.log.1")]
    assert len(files) == LOG_FILES
    assert all(0 < file.stat().st_size <= LOG_FILE_BYTES_MIN for file in files)
    # A larger size counts for the file that is open, too.
    assert set_log_file_size(2 * LOG_FILE_BYTES_MIN // KIB) == 0
    for number in range(9):
        LOGGER.info("%d %s", number, "x" * 64 * KIB)
    assert LOG_FILE_BYTES_MIN < path.stat().st_size <= 2 * LOG_FILE_BYTES_MIN


@pytest.mark.parametrize(
    ("filters", "levels"),
    [
        (LogFilter.OFF, ""),
        (LogFilter.CRITICAL, "CRITICAL"),
        (LogFilter.ERROR, "ERROR CRITICAL"),
        (LogFilter.WARN, "WARNING ERROR CRITICAL"),
        (LogFilter.INFO, "INFO WARNING ERROR CRITICAL"),
    ],
)
def test_a_filter_lets_through_what_it_names(path: Path, filters: LogFilter, levels: str) -> None:
    assert set_log_file(path) == 0
    assert set_log_filters(filters) == 0
    for level in (logging.DEBUG, logging.INFO, logging.WARNING, logging.ERROR, logging.CRITICAL):
        LOGGER.log(level, "said")
    assert [line.split()[2] for line in path.read_text().splitlines()] == levels.split()


@pytest.mark.parametrize("value", [LogFilter.MASK, 1, "INFO", None, 0x80F], ids=str)
def test_another_filter_is_refused_and_the_one_before_stays(path: Path, value: object) -> None:
    set_log_file(path)
    assert set_log_filters(LogFilter.ERROR) == 0
    assert set_log_filters(value) == 1  # type: ignore[arg-type]
    LOGGER.warning("not said")
    LOGGER.error("said")
    assert "not said" not in path.read_text()


@pytest.mark.parametrize(
    ("kilobytes", "code"),
    [
        (LOG_FILE_BYTES_MIN // KIB, 0),
        (LOG_FILE_BYTES_MIN // KIB - 1, 1),
        (LOG_FILE_BYTES_MAX // KIB, 0),
        (LOG_FILE_BYTES_MAX // KIB + 1, 1),
        (0, 1),
        (-1, 1),
        (True, 1),
        ("10240", 1),
        (1024.5, 1),
    ],
)
def test_the_size_of_a_file_has_bounds(kilobytes: int, code: int, caplog: pytest.LogCaptureFixture) -> None:
    assert set_log_file_size(kilobytes) == code
    assert ("set_log_file_size" in caplog.text) is bool(code)


def test_a_file_that_cannot_be_written_is_refused_and_the_one_before_stays(path: Path) -> None:
    assert set_log_file(path) == 0
    (path.parent / "folder").mkdir()
    for wrong in ("rtm.log", path.parent / "none" / "rtm.log", path.parent / "folder", "", "/\0", 7):
        assert set_log_file(wrong) == 1, wrong  # type: ignore[arg-type]
    LOGGER.info("said")
    assert "said" in path.read_text()


def test_another_file_takes_the_place_of_the_first(path: Path) -> None:
    other = path.with_name("other.log")
    assert (set_log_file(path), set_log_file(other)) == (0, 0)
    LOGGER.info("said")
    assert "said" not in path.read_text()
    assert "said" in other.read_text()
    assert set_log_file(None) == 0
    LOGGER.info("not said")
    assert "not said" not in other.read_text()


def test_the_level_of_the_logger_is_that_of_before_in_the_end(path: Path) -> None:
    before = LOGGER.level
    try:
        LOGGER.setLevel(logging.ERROR)
        set_log_file(path)
        set_log_file(path.with_name("other.log"))
        assert LOGGER.level == logging.INFO
        set_log_file(None)
        assert LOGGER.level == logging.ERROR
        LOGGER.setLevel(logging.DEBUG)
        set_log_file(path)
        assert LOGGER.level == logging.DEBUG
    finally:
        set_log_file(None)
        LOGGER.setLevel(before)


def test_nothing_is_configured_by_an_import() -> None:
    code = (
        "import logging, rtmsync.logs; logger = logging.getLogger('rtmsync');"
        "assert all(type(each) is logging.NullHandler for each in logger.handlers), logger.handlers;"
        "assert logger.level == logging.NOTSET and not logging.root.handlers"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
