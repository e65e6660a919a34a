"""A file of settings says what it says, and each mistake in it is one sentence that names its key."""

from pathlib import Path

import pytest

from rtmcore.errors import InvalidArgument
from rtmcore.limits import RateLimit
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.logs import LogSettings
from rtmsync.server.settings import Settings, read_settings
from rtmsync.server.tokens import AppKeys, TokenKey

APP = "0123456789abcdef0123456789abcdef"
OTHER = "c" * 32
KEY = "k" * 32
CERTIFICATE = "5CFd2fd1755d40ecb72977518be15d3b"

WHOLE = f"""
host = "0.0.0.0"
port = 7431
data_dir = "data"
allowed_origins = ["https://example.org"]
node = "one"
token_policy = "abort"
drain_seconds = 3
rate_limits = true
rate_factor = 2.5

metrics = false
metrics_key_file = "metrics.key"

[rates]
send = {{ count = 360, seconds = 3 }}

[limits]
message = 65536
offline_days = 30

[log]
format = "json"
level = "warning"
file = "rtm.log"

[tls]
certificate = "tls/chain.pem"
key = "/etc/rtm/key.pem"

[[apps]]
id = "{APP}"
key_file = "app.key"

[[apps]]
id = "{OTHER}"
certificate_file = "app.certificate"
token_formats = ["006", "007"]
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "app.key").write_text(f"{KEY}\n")
    (tmp_path / "app.certificate").write_text(f"{CERTIFICATE}\n")
    (tmp_path / "metrics.key").write_text(f"{KEY}\n")
    return tmp_path


def settings(folder: Path, text: str) -> Settings:
    path = folder / "rtm.toml"
    path.write_text(text, encoding="utf-8")
    return read_settings(path)


def test_everything_that_a_server_can_be_told(folder: Path) -> None:
    found = settings(folder, WHOLE)
    assert found.logs == LogSettings(format="json", level="warning", file=folder / "rtm.log")
    assert set(found.files) == {folder / "app.key", folder / "app.certificate", folder / "metrics.key"}
    assert found.config() == ServerConfig(
        apps=(
            AppKeys(APP, (TokenKey(KEY.encode()),)),
            AppKeys(OTHER, (), (CERTIFICATE,), ("006", "007")),
        ),
        host="0.0.0.0",
        port=7431,
        data_dir=folder / "data",
        tls_certificate=folder / "tls/chain.pem",
        tls_key=Path("/etc/rtm/key.pem"),
        allowed_origins=("https://example.org",),
        rate_factor=2.5,
        rates={"send": RateLimit(360, 3.0)},
        limits={"message": 65536, "offline_days": 30},
        metrics=False,
        metrics_keys=(KEY,),
        token_policy="abort",
        drain_seconds=3.0,
        node="one",
    )


def test_what_is_not_said_is_as_usual(folder: Path) -> None:
    found = settings(folder, f'[[apps]]\nid = "{APP}"\nkey_file = "app.key"\n').config()
    assert found == ServerConfig(apps=(AppKeys(APP, (TokenKey(KEY.encode()),)),))
    assert settings(folder, "dev = true").config() == ServerConfig(apps=(AppKeys(DEV_APP_ID),), dev=True)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("hots = 'x'", "there is no hots; there are host, port,"),
        ("[tls]\ncert = 'x'", "there is no tls.cert; there are certificate, key."),
        ("[[apps]]\nid = 'x'\nkey = 'x'", "there is no apps 1.key; there are id, key_file"),
        ("[rates.send]\ncounts = 1", "there is no rates.send.counts; there are count, seconds"),
        ("host = 1", "host is not a text"),
        ("port = '1'", "port is not a whole number"),
        ("port = true", "port is not a whole number"),
        ("port = 70000", "70000"),
        ("data_dir = ''", "data_dir is not the name of a directory"),
        ("dev = 1", "dev is not true or false"),
        ("allowed_origins = 'x'", "allowed_origins is not a list of texts"),
        ("allowed_origins = [1]", "allowed_origins is not a list of texts"),
        ("drain_seconds = 'x'", "drain_seconds is not a number"),
        ("drain_seconds = inf", "drain_seconds is not a number"),
        ("drain_seconds = -1.0", "drain_seconds"),
        ("token_policy = 'never'", "'never'"),
        ("rate_factor = 0", "rate_factor"),
        ("rates = 1", "rates is not a table"),
        ("rates.send = 1", "rates.send is not a table"),
        ("rates.send = { count = 1 }", "rates.send needs count and seconds"),
        ("rates.sned = { count = 1, seconds = 1 }", "no rate 'sned'"),
        ("rates.send = { count = 0, seconds = 1 }", "'send'"),
        (
            "rates.send = { count = 1_000_000, seconds = 1 }",
            "'send' has the count 1000000; it is 1 to 100000",
        ),
        ("limits = 1", "limits is not a table"),
        ("limits.message = '1'", "limits.message is not a whole number"),
        ("limits.message = true", "limits.message is not a whole number"),
        ("limits.message = 0", "limits.message is 0; it is at least 1"),
        ("limits.message = 262144", "limits.message is 262144; it is at most 131072"),
        ("limits.mesage = 1", "there is no limits.mesage; there are message, in_flight"),
        ("limits.frame = 1", "limits.frame is 262144 for every server, and cannot be set"),
        ("limits.members = 1", "limits.member_events is 512, which is above limits.members, 1"),
        ("metrics = 1", "metrics is not true or false"),
        ("metrics_key_file = 'none'", "none cannot be read"),
        ("log.format = 'xml'", "log.format is not text or json"),
        ("log.level = 1", "log.level is not one of debug, info, warning, error"),
        ("log.colour = 1", "there is no log.colour; there are format, level, file"),
        ("tls = 1", "tls is not a table"),
        ("[tls]\nkey = 'x'", "no certificate"),
        ("apps = 1", r"\[\[apps\]\]"),
        ("apps = [1]", "apps 1 is not a table"),
        ("[[apps]]\nkey_file = 'app.key'", "apps 1 has no id"),
        ("host", "is not TOML"),
        ("a = " + "[" * 4000 + "]" * 4000, "nested|TOML"),
    ],
)
def test_each_mistake_is_a_sentence_that_names_its_key(folder: Path, text: str, said: str) -> None:
    app = "" if "apps" in text else f'\n[[apps]]\nid = "{APP}"\nkey_file = "app.key"\n'
    with pytest.raises(InvalidArgument, match=said) as caught:
        settings(folder, text + app).config()
    assert "\n" not in str(caught.value)


def test_all_mistakes_of_a_file_are_named_at_once(folder: Path) -> None:
    with pytest.raises(InvalidArgument) as caught:
        settings(folder, "hots = 1\nport = 'x'\nrates.send = {}\n[limits]\nmessage = 'x'\n[[apps]]\nkey = 1")
    said = str(caught.value).splitlines()
    assert "rtm.toml has 6 mistakes:" in said[0]
    for line, words in zip(
        said[1:],
        ("hots", "port", "rates.send", "limits.message", "apps 1.key", "apps 1 has no id"),
        strict=True,
    ):
        assert line.startswith("  - ")
        assert words in line


def test_all_values_that_are_not_possible_are_named_at_once(folder: Path) -> None:
    text = f"""
        port = 70000
        token_policy = "never"
        metrics_key_file = "app.certificate"
        rates.sned = {{ count = 1, seconds = 1 }}
        limits = {{ message = 0, replay = 1000 }}
        [[apps]]
        id = "{APP}"
        key_file = "none.key"
    """
    with pytest.raises(InvalidArgument) as caught:
        settings(folder, text).config()
    said = str(caught.value)
    for words in ("70000", "'never'", "'sned'", "limits.message", "limits.replay", "none.key cannot be read"):
        assert words in said
    assert "no key." not in said
    assert said.count("\n  - ") == 6


@pytest.mark.parametrize(
    ("app", "said"),
    [
        ("key_file = 'none'", "none cannot be read"),
        ("key_file = 'empty'", "no secret in"),
        ("certificate_file = 'empty'\ntoken_formats = ['007']", "no certificate in"),
        ("certificate_file = 'app.key'\ntoken_formats = ['007']", "32 hexadecimal"),
        ("certificate_file = 'app.certificate'", "need each other"),
        ("key_file = 'app.key'\ntoken_formats = ['008']", "no token format '008'"),
        ("key_file = 'large'", "more than"),
        ("key_file = 'binary'", "not UTF-8"),
        ("key_file = 'app.certificate'", None),
    ],
)
def test_the_files_of_an_app_are_checked(folder: Path, app: str, said: str | None) -> None:
    (folder / "empty").write_text("\n")
    (folder / "large").write_text("x" * 100_000)
    (folder / "binary").write_bytes(b"\xff" * 40)
    found = settings(folder, f'[[apps]]\nid = "{APP}"\n{app}\n')
    if said is None:
        found.config()
        return
    with pytest.raises(InvalidArgument, match=said) as caught:
        found.config()
    assert KEY not in str(caught.value)


def test_an_app_that_is_named_twice(folder: Path) -> None:
    app = f'[[apps]]\nid = "{APP}"\nkey_file = "app.key"\n'
    with pytest.raises(InvalidArgument, match="twice"):
        settings(folder, app * 2).config()


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(InvalidArgument, match="cannot be read"):
        read_settings(tmp_path / "none.toml")


def test_server_keys_have_a_file_of_their_own(folder: Path) -> None:
    text = f'[[apps]]\nid = "{APP}"\nserver_key_file = "server.key"\n'
    (folder / "server.key").write_text("first-key-0123456789\n\nsecond-key-0123456789\n")
    config = settings(folder, text).config()
    assert config.server_keys == {APP: ("first-key-0123456789", "second-key-0123456789")}
    assert "first-key" not in repr(config)
    (folder / "server.key").write_text("too-short\n")
    with pytest.raises(InvalidArgument, match="16 to 128"):
        settings(folder, text).config()
    (folder / "server.key").write_text("\n")
    with pytest.raises(InvalidArgument, match="no server key"):
        settings(folder, text).config()
