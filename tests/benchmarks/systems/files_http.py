"""requests and a WSGI application under Werkzeug's threaded server: the bytes of a file and nothing else.

Nothing is hashed, nothing can be resumed, and nothing is made to last unless it is told to.
"""

import os
import secrets
import shutil
import tempfile
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import requests
from werkzeug.serving import make_server
from werkzeug.utils import send_file
from werkzeug.wrappers import Request, Response

from tests.benchmarks import files


class Server:
    """Keeps each body that is put as a file.

    Args:
        sync: Whether a file and its directory are synced before the answer.
    """

    def __init__(self, *, sync: bool = False) -> None:
        self._sync = sync
        self._directory = tempfile.TemporaryDirectory(prefix="bench-wsgi-")
        self._http = make_server("127.0.0.1", 0, self._application, threaded=True)
        threading.Thread(target=self._http.serve_forever, daemon=True).start()

    def listen(self) -> list[int]:
        """Port and process id."""
        return [self._http.server_port, os.getpid()]

    def stop(self) -> None:
        self._directory.cleanup()

    def path(self, request: Request) -> Path:
        """Where the file of a request is."""
        return Path(self._directory.name) / request.path.rpartition("/")[2]

    def answer(self, request: Request) -> Response:
        """Carry out a request."""
        path = self.path(request)
        if request.method != "PUT":
            return send_file(path, request.environ)
        with path.open("wb") as file:
            shutil.copyfileobj(request.stream, file)
            self.sync(file.fileno())
        return Response(status=201)

    def sync(self, descriptor: int) -> None:
        """Make a file last, where that is wanted."""
        if self._sync:
            os.fsync(descriptor)
            directory = os.open(self._directory.name, os.O_RDONLY)
            os.fsync(directory)
            os.close(directory)

    def _application(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        return self.answer(Request(environ))(environ, start_response)


class Carrier(files.Carrier):
    def __init__(self, port: int, size: int) -> None:
        super().__init__(size)
        self._url = f"http://127.0.0.1:{port}"
        self._session = requests.Session()
        self._session.trust_env = False

    def put(self) -> str:
        name = secrets.token_hex(16)
        with self.files.there.open("rb") as file:
            self._session.put(f"{self._url}/{name}", data=file).raise_for_status()
        return name

    def get(self, name: str) -> None:
        with (
            self._session.get(f"{self._url}/{name}", stream=True) as answer,
            self.files.back.open("wb") as file,
        ):
            answer.raise_for_status()
            for piece in answer.iter_content(1 << 18):
                file.write(piece)
