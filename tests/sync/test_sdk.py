"""Settings of the library as a whole: version, parameters, region."""

import subprocess
import sys

import pytest

import rtmcore
import rtmsync
from rtmsync.config import DEFAULT_TIMEOUTS

APP = "a" * 32


def run(code: str) -> str:
    """What a program prints in a process of its own, in which there was no client before."""
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=False
    )
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def test_the_version_is_known_before_anything_else() -> None:
    assert rtmsync.sdk_version() == rtmcore.__version__ == rtmsync.__version__
    assert run("import rtmsync; print(rtmsync.sdk_version())") == rtmcore.__version__


# --- Parameters -----------------------------------------------------------------------------------------------------


def test_parameters_become_options_of_clients() -> None:
    options = rtmsync.parse_parameters(
        """{"tls": false, "proxy": null, "timeouts": {"login": 20}, "subprotocols": ["rtm.v1.json"],
            "rate_limits": false, "on_rate_limit": "wait", "aggregate_rules": "mdn2021",
            "auto_logout_on_abort": true, "inbox_window": 64, "inbox_window_bytes": 65536, "replay_total": true}"""
    )
    config = rtmsync.Client("ws://127.0.0.1", app_id=APP, user_id="alice", **options).config
    assert (config.tls, config.proxy, config.subprotocols) == (False, None, ("rtm.v1.json",))
    assert config.timeouts == {**DEFAULT_TIMEOUTS, "login": 20.0}
    assert (config.rate_limits, config.on_rate_limit, config.aggregate_rules) == (False, "wait", "mdn2021")
    assert (config.auto_logout_on_abort, config.replay_total) == (True, True)
    assert (config.inbox_window, config.inbox_window_bytes) == (64, 65_536)
    assert rtmsync.parse_parameters(b"{}") == {}
    assert rtmsync.parse_parameters('{"tls": true}') == {"tls": True}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "not JSON"),
        ("{", "not JSON"),
        ("[" * 100_000, "not JSON"),
        (b"\xff", "not JSON"),
        ("[]", "not a JSON object"),
        ("null", "not a JSON object"),
        ('{"enableLogUpload": true, "logFilter": 1}', "no parameter 'enableLogUpload', 'logFilter'"),
        ('{"app_id": "x"}', "no parameter 'app_id'"),
        ('{"tls": 1}', "tls is not true or false"),
        ('{"proxy": 1}', "proxy is not a text or null"),
        ('{"timeouts": []}', "timeouts is not an object"),
        ('{"timeouts": {"logn": 1}}', "no call 'logn'"),
        ('{"timeouts": {"login": 0}}', "timeout of login"),
        ('{"timeouts": {"login": NaN}}', "NaN"),
        ('{"timeouts": {"login": 1e999}}', "timeout of login"),
        ('{"timeouts": {"login": 1, "login": 2}}', "twice"),
        ('{"subprotocols": ["x"]}', "rtm.v1.msgpack"),
        ('{"subprotocols": [["x"]]}', "subprotocols is not a list of texts"),
        ('{"rate_limits": "no"}', "rate_limits is not true or false"),
        ('{"on_rate_limit": "x"}', "on_rate_limit"),
        ('{"aggregate_rules": "x"}', "aggregate rules"),
        ('{"inbox_window": 0}', "at least 1"),
        ('{"inbox_window": true}', "inbox_window is not a whole number"),
        ('{"inbox_window": 1.5}', "inbox_window is not a whole number"),
        ('{"replay_total": null}', "replay_total is not true or false"),
    ],
)
def test_what_is_not_possible_is_refused_with_its_name(text: str | bytes, said: str) -> None:
    with pytest.raises(rtmsync.InvalidArgument, match=said):
        rtmsync.parse_parameters(text)


# --- Region ---------------------------------------------------------------------------------------------------------

CONTEXT = """
import rtmsync
from rtmsync import AreaCode, ServiceContextError
servers = {
    AreaCode.EU: "wss://eu.example.com",
    AreaCode.NA: ["wss://na1.example.com", "wss://na2.example.com"],
    AreaCode.AS: ("wss://as.example.com", "wss://eu.example.com"),
}
def caught(call, *arguments):
    try:
        return call(*arguments)
    except rtmsync.RtmError as error:
        return type(error).__name__, error.code
"""


def test_the_service_context_comes_before_the_first_client() -> None:
    printed = run(
        CONTEXT
        + f"""
print(caught(rtmsync.service_urls)[0])
for area in (AreaCode.EU, AreaCode.EU | AreaCode.AS, AreaCode.GLOB):
    rtmsync.set_service_context(area, servers)
    print(*rtmsync.service_urls())
client = rtmsync.Client(rtmsync.service_urls(), app_id="{APP}", user_id="alice")
print(client.config.urls == rtmsync.service_urls())
assert caught(rtmsync.set_service_context, AreaCode.EU, servers) == ("StateError", ServiceContextError.FAILURE)
print(*rtmsync.service_urls())
"""
    ).splitlines()
    everywhere = " ".join(f"wss://{name}.example.com" for name in ("eu", "na1", "na2", "as"))
    assert printed == [
        "StateError",
        "wss://eu.example.com",
        "wss://eu.example.com wss://as.example.com",
        everywhere,
        "True",
        everywhere,
    ]


def test_every_region_chooses_its_servers() -> None:
    printed = run(
        """
import rtmsync
from rtmsync import AreaCode

areas = {name: area for name, area in AreaCode.__members__.items() if name not in ("OVS", "GLOB")}
servers = {area: f"wss://{name.lower()}.example.com" for name, area in areas.items()}
for area in (*areas.values(), AreaCode.OVS, AreaCode.GLOB):
    rtmsync.set_service_context(area, servers)
    print(*rtmsync.service_urls())
"""
    ).splitlines()
    names = "cn na eu as jp in oc sa af kr".split()
    urls = [f"wss://{name}.example.com" for name in names]
    assert printed == [*urls, " ".join(urls[1:]), " ".join(urls)]


@pytest.mark.parametrize(
    "made",
    [
        f'rtmsync.RtcChannel("ws://127.0.0.1", app_id="{APP}", channel="stage", uid="7")',
        f'caught(lambda: rtmsync.connect_room("ws://127.0.0.1:1", app_id="{APP}", room="lobby", identity="alice", '
        "timeout=5, proxy=None))",
    ],
)
def test_a_channel_or_a_room_counts_as_a_client(made: str) -> None:
    assert (
        run(f"{CONTEXT}\n{made}\nprint(int(caught(rtmsync.set_service_context, AreaCode.EU, servers)[1]))")
        == "1"
    )


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("AreaCode.JP, servers", "no server in this region"),
        ("AreaCode.EU, {}", "no server in this region"),
        ("AreaCode.EU, {4: 'wss://x'}", "is an AreaCode"),
        ("4, servers", "is an AreaCode"),
        ("AreaCode.EU, {AreaCode.EU: 'https://eu.example.com'}", "wss://host"),
    ],
)
def test_a_region_and_its_urls_are_checked(call: str, said: str) -> None:
    code = f"""
try:
    rtmsync.set_service_context({call})
except rtmsync.InvalidArgument as error:
    print(error)
"""
    assert said in run(CONTEXT + code)
