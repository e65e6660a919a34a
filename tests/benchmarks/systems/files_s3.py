"""s3transfer with its usual settings, and as little of an S3 server as it needs, under Werkzeug's threaded server.

It carries large files in parts, several at once, each on a connection of its own.
"""

import os
import secrets
import shutil

import boto3
from boto3.s3.transfer import S3Transfer, TransferConfig
from botocore.config import Config
from werkzeug.wrappers import Request, Response

from tests.benchmarks import files
from tests.benchmarks.systems import files_http

_PART = TransferConfig().multipart_chunksize
_BEGUN = "<InitiateMultipartUploadResult><UploadId>one</UploadId></InitiateMultipartUploadResult>"
_DONE = "<CompleteMultipartUploadResult><ETag>whole</ETag></CompleteMultipartUploadResult>"


class Server(files_http.Server):
    """Keeps objects, whole or in parts, as files; asks for no signature."""

    def answer(self, request: Request) -> Response:
        """Carry out a request."""
        if request.method == "POST" and "uploads" in request.args:
            self.path(request).touch()
            return Response(_BEGUN, mimetype="application/xml")
        if request.method == "POST":
            with self.path(request).open("rb") as file:
                self.sync(file.fileno())
            return Response(_DONE, mimetype="application/xml")
        if "partNumber" not in request.args:
            return super().answer(request)
        with self.path(request).open("r+b") as file:
            file.seek((int(request.args["partNumber"]) - 1) * _PART)
            shutil.copyfileobj(request.stream, file)
        return Response(headers={"ETag": "part"})


class Carrier(files.Carrier):
    def __init__(self, port: int, size: int) -> None:
        super().__init__(size)
        client = boto3.client(
            "s3",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{port}",
            aws_access_key_id="bench",
            aws_secret_access_key=secrets.token_hex(8),
            config=Config(proxies={}, s3={"addressing_style": "path"}),
        )
        self._transfer = S3Transfer(client, TransferConfig())

    def put(self) -> str:
        name = secrets.token_hex(16)
        self._transfer.upload_file(os.fspath(self.files.there), "bench", name)
        return name

    def get(self, name: str) -> None:
        self._transfer.download_file("bench", name, os.fspath(self.files.back))
