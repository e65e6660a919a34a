"""`rtm doctor`: try each step from the name look-up to the login and say what to do about the one that fails."""

import sys
from typing import Final

import click

from rtmcore.errors import ConnectionFailed, RtmError
from rtmsync.cli.options import Login, connection_options
from rtmsync.cli.output import emit, say, use_colours
from rtmsync.cli.probe import Probe
from rtmsync.exits import ExitCode, exit_code

_COLOURS: Final = {"ok": "green", "warn": "yellow", "fail": "red"}

_ADVICE: Final = {
    "settings": "Correct the option, or the environment variable that it comes from.",
    "proxy": "Correct --proxy or the proxy variables of the environment, or go without a proxy: --proxy none.",
    "tunnel": "See whether the proxy's URL names an HTTP proxy, or go without it: --proxy none.",
    "tls": "See whether the server speaks TLS at this port; if it does not, the URL begins with ws://.",
    "upgrade": "See whether host, port and path are the server's; if it expects TLS, the URL begins with wss://.",
}
"""What to do where the error itself does not say."""

_ANY_ADVICE: Final = "See the server's log."


@click.command("doctor")
@connection_options
@click.option("--json", "as_json", is_flag=True, help="Print a line of JSON for each step that was tried.")
def command(login: Login, as_json: bool) -> int:
    """Find out why a connection does not come about.

    Tries settings, proxy, name look-up, TCP, proxy tunnel, TLS, WebSocket upgrade, login, clocks, round trip and
    token, in this order. A user who is logged in elsewhere is logged out there by this login; without --user and
    without a token it uses a name of its own.
    """
    probe = Probe(login, login.timeout)
    result = ExitCode.OK
    not_tried: list[str] = []
    try:
        for name, step in probe.steps():
            if not probe.concerns(name):
                continue
            if result != ExitCode.OK:
                not_tried.append(name)
                continue
            try:
                finding = step()
            except (RtmError, OSError) as error:
                failure = _as_failure(error)
                result = exit_code(failure)
                _report(
                    as_json, "fail", name, _sentence(failure), failure.hint or _ADVICE.get(name, _ANY_ADVICE)
                )
            else:
                _report(
                    as_json, "ok" if finding.advice is None else "warn", name, finding.text, finding.advice
                )
    finally:
        probe.close()
    if not_tried and not as_json:
        say(f"-     not tried: {', '.join(not_tried)}")
    return result


def _as_failure(error: RtmError | OSError) -> RtmError:
    if isinstance(error, RtmError):
        return error
    failure = ConnectionFailed(
        f"The connection broke: {error.strerror or error}.", hint="Check the network, and the server's log."
    )
    failure.__cause__ = error
    return failure


def _sentence(error: RtmError) -> str:
    code = (
        ""
        if error.code is None
        else f" (code {error.code.value} {type(error.code).__name__}.{error.code.name})"
    )
    return f"{error.message}{code}"


def _report(as_json: bool, mark: str, step: str, text: str, advice: str | None) -> None:
    if as_json:
        emit({"step": step, "result": mark, "text": text, "advice": advice})
        return
    shown = click.style(f"{mark:<5}", fg=_COLOURS[mark]) if use_colours(sys.stdout) else f"{mark:<5}"
    say(f"{shown} {step:<11} {text}")
    if advice is not None:
        say(f"{'':17} {advice}")
