"""A web application of the smallest kind, as a process: a page, `rtm.js`, and tokens for whoever asks.

``python -m tests.browser.pages APP_ID SECRET_FILE PAGE`` prints its port and serves until its standard input ends. PAGE
is a further page, at /page.
"""

import sys
import threading
import time
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Final
from urllib.parse import parse_qs, urlsplit

from rtmsync.server.tokens import TokenKey, make_token

HERE: Final = Path(__file__).parent
MODULE: Final = HERE.parents[1] / "examples" / "browser" / "rtm.js"
FILES: Final = {
    "/": (HERE / "page.html", "text/html; charset=utf-8"),
    "/other": (HERE / "page.html", "text/html; charset=utf-8"),
    "/rtm.js": (MODULE, "text/javascript; charset=utf-8"),
    "/static/rtm.js": (MODULE, "text/javascript; charset=utf-8"),
}
POLICY: Final = "default-src 'self'; script-src 'self' 'unsafe-inline'; img-src data:; connect-src 'self' ws://127.0.0.1:*"


class Handler(BaseHTTPRequestHandler):
    """Answers GET; browsers open connections ahead of need, so an idle one ends soon."""

    timeout = 10
    app = ""
    key: TokenKey

    def do_GET(self) -> None:
        address = urlsplit(self.path)
        if address.path == "/token":
            asked = {name: values[0] for name, values in parse_qs(address.query).items()}
            seconds = int(asked["seconds"])
            if not seconds:
                self.send_error(HTTPStatus.FORBIDDEN, "Nobody has signed in here")
                return
            token = make_token(self.key, app=self.app, user=asked["user"], now=time.time(), seconds=seconds)
            self._answer(token.encode(), "text/plain")
        elif address.path in FILES:
            path, kind = FILES[address.path]
            self._answer(path.read_bytes(), kind)
        else:
            self.send_error(HTTPStatus.NOT_FOUND)

    do_POST = do_GET  # noqa: N815

    def _answer(self, body: bytes, kind: str) -> None:
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        if kind.startswith("text/html"):
            self.send_header("Content-Security-Policy", POLICY)
        else:
            self.send_header("Cache-Control", "no-store")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, format: str, *args: object) -> None:
        """Say nothing: tests print what they need."""


def main(app: str, secret_file: str, page: str) -> None:
    FILES["/page"] = (Path(page), "text/html; charset=utf-8")
    Handler.app = app
    Handler.key = TokenKey(Path(secret_file).read_bytes().strip())
    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        print(server.server_port, flush=True)
        sys.stdin.read()
        server.shutdown()


if __name__ == "__main__":
    main(*sys.argv[1:])
