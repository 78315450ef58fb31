"""An S3 server of the tests' own, in this process, on a port of this machine."""

from __future__ import annotations

import itertools
import logging
from types import TracebackType

import httpx
from moto.server import ThreadedMotoServer
from s3fs import S3FileSystem

_NAMES = itertools.count()


class S3Server:
    """Runs while its block does."""

    def __enter__(self) -> S3Server:
        logging.getLogger("werkzeug").setLevel(logging.ERROR)
        self._server = ThreadedMotoServer("127.0.0.1", port=0, verbose=False)
        self._server.start()
        self._url = "http://{}:{}".format(*self._server.get_host_and_port())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._server.stop()
        S3FileSystem.clear_instance_cache()  # it would look for the next server where this one was

    @property
    def variables(self) -> dict[str, str]:
        """The environment in which clients of S3 find it."""
        return {
            "AWS_ENDPOINT_URL": self._url,
            "AWS_ACCESS_KEY_ID": "tester",
            "AWS_SECRET_ACCESS_KEY": "secret",
            "AWS_DEFAULT_REGION": "us-east-1",
        }

    def bucket(self) -> str:
        """Make a bucket, and return its URL."""
        name = f"bucket-{next(_NAMES)}"
        httpx.put(f"{self._url}/{name}").raise_for_status()
        return f"s3://{name}"
