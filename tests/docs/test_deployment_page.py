"""The nginx configuration of the page on deployment, in a real nginx before a real server."""

import contextlib
import re
import subprocess
import time
from pathlib import Path

import pytest
import trustme

import rtmsync
from rtmcore.client.events import Purpose
from rtmsync import TlsConfig
from rtmsync.server.config import DEV_APP_ID, ServerConfig
from rtmsync.server.server import Server
from rtmsync.server.tokens import AppKeys
from tests.docs.pages import DOCS
from tests.peers import locate, missing
from tests.system.processes import PATIENCE, free_port

PAGE = DOCS / "howto" / "deployment.md"

MAIN = """
daemon off;
pid {folder}/nginx.pid;
error_log stderr;
events {{}}
http {{
    access_log off;
    client_body_temp_path {folder}/body;
    proxy_temp_path {folder}/proxy;
    fastcgi_temp_path {folder}/fastcgi;
    uwsgi_temp_path {folder}/uwsgi;
    scgi_temp_path {folder}/scgi;
    include {folder}/rtm.conf;
}}
"""


def replaced(text: str, changes: dict[str, str]) -> str:
    for old, new in changes.items():
        assert old in text
        text = text.replace(old, new)
    return text


@pytest.mark.interop
def test_clients_publishers_and_files_pass_through_nginx(tmp_path: Path) -> None:
    nginx = locate("nginx")
    if nginx is None:
        pytest.skip(missing("nginx"))
    (snippet,) = re.findall(
        r"```\{code-block\} nginx\n:caption: [^\n]*\n(.*?)```", PAGE.read_text("utf-8"), re.DOTALL
    )
    authority = trustme.CA()
    authority.cert_pem.write_to_path(tmp_path / "ca.pem")
    certificate = authority.issue_cert("localhost")
    certificate.private_key_and_cert_chain_pem.write_to_path(tmp_path / "chain.pem")
    port, key = free_port(), "a-key-of-this-test"
    config = ServerConfig(
        apps=[AppKeys(DEV_APP_ID)], port=0, drain_seconds=0.0, server_keys={DEV_APP_ID: [key]}, metrics=True
    )
    with Server(config) as server, contextlib.ExitStack() as stack:
        changes = {
            "/etc/ssl/rtm/chain.pem": str(tmp_path / "chain.pem"),
            "/etc/ssl/rtm/key.pem": str(tmp_path / "chain.pem"),
            "listen 443 ssl": f"listen 127.0.0.1:{port} ssl",
            "127.0.0.1:7430": f"127.0.0.1:{server.port}",
            "rtm.example.org": "localhost",
        }
        (tmp_path / "rtm.conf").write_text(replaced(snippet, changes), encoding="utf-8")
        (tmp_path / "nginx.conf").write_text(MAIN.format(folder=tmp_path), encoding="utf-8")
        command = [nginx, "-p", str(tmp_path), "-e", "stderr", "-c", str(tmp_path / "nginx.conf")]
        checked = subprocess.run(
            [*command, "-t"], capture_output=True, text=True, timeout=PATIENCE, check=False
        )
        assert checked.returncode == 0, checked.stderr
        assert "warn" not in checked.stderr
        running = stack.enter_context(subprocess.Popen(command, stderr=subprocess.DEVNULL))
        stack.callback(running.terminate)
        url, tls = f"wss://localhost:{port}", TlsConfig(ca_file=str(tmp_path / "ca.pem"))
        due = time.monotonic() + PATIENCE
        while True:
            try:
                client = rtmsync.connect(url, app_id=DEV_APP_ID, user_id="alice", tls=tls, proxy=None)
                break
            except rtmsync.RtmError:
                assert time.monotonic() < due
        stack.enter_context(client)
        publisher = stack.enter_context(rtmsync.Publisher(url, app_id=DEV_APP_ID, server_key=key, tls=tls))
        channel = client.channel("room")
        channel.join()
        messages = channel.events(rtmsync.ChannelMessage)
        publisher.publish("room", "through nginx", sender="shop")
        message = messages.get(timeout=PATIENCE)
        assert isinstance(message, rtmsync.ChannelMessage)
        assert message.text == "through nginx"
        data = bytes(range(256)) * 8_000
        assert client.download(client.upload_file(data).result(PATIENCE)).result(PATIENCE) == data
        # None was lost. A second one beside it is no loss: it is opened where the machine stalls for some seconds.
        opened = [mark.detail for mark in client.timeline.marks if mark.attempt]
        assert Purpose.RECONNECT.value not in opened
