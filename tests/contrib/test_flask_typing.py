"""What a type checker says about Flask applications that use the extension."""

import os
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

PROGRAM = """
    from collections.abc import Callable

    from flask import Flask, session
    from typing_extensions import assert_type

    import rtmsync
    from rtmsync import ChannelMessage, PeerMessage, Publisher, PublishStatus
    from rtmsync.contrib.flask import RTM, message_received

    rtm = RTM(config_prefix="SHOP_RTM_")

    def create_app() -> Flask:
        app = Flask(__name__)
        rtm.init_app(app)
        app.add_url_rule("/rtm.js", view_func=rtm.script_view)
        app.add_url_rule("/token", view_func=rtm.token_view(lambda: session.get("user"), seconds=60))

        @app.post("/")
        def view() -> str:
            assert_type(rtm.publish("news", {"id": 7}), int)
            assert_type(rtm.send_peer("bob", b"x", offline=True), PublishStatus)
            assert_type(rtm.publisher, Publisher)
            assert_type(rtm.client, rtmsync.Client)
            assert_type(rtm.token_for("bob", scopes={"login": True}), str)
            return rtm.outbox[0].text or ""

        return app

    @rtm.on_channel("orders")
    def order(message: ChannelMessage) -> None:
        print(message.text)

    @rtm.on_peer_message
    def asked(message: PeerMessage) -> int:
        return message.id

    unchanged: Callable[[PeerMessage], int] = asked

    @rtm.on(rtmsync.MemberLeft, channel="orders")
    def left(event: rtmsync.MemberLeft) -> None:
        print(event.user)

    message_received.connect(lambda app, message, extension: None)
"""

WRONG = """

    @rtm.on_channel("orders")
    def not_of_a_channel(message: PeerMessage) -> None: ...
"""


@pytest.mark.slow
@pytest.mark.timeout(300)  # a type checker without a cache
def test_a_correct_application_passes_and_a_wrong_handler_does_not(tmp_path: Path) -> None:
    files = {"right.py": PROGRAM, "wrong.py": PROGRAM + WRONG}
    for name, text in files.items():
        (tmp_path / name).write_text(textwrap.dedent(text))
    said = subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(tmp_path / "cache"), *files],
        cwd=tmp_path,
        env={**os.environ, "MYPYPATH": str(ROOT)},
        capture_output=True,
        text=True,
        timeout=280,
        check=False,
    ).stdout
    (error,) = [line for line in said.splitlines() if ": error:" in line]
    assert error.startswith("wrong.py:"), said
    assert "ChannelMessage" in error, said
