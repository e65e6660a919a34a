"""The largest file, up and down, with cuts at random places and a server that is killed on the way."""

import json
import random
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

import rtmsync
from rtmcore.limits import MEDIA_BYTES
from rtmsync.server.config import DEV_APP_ID
from rtmsync.testing import FaultProxy
from tests.system.processes import PATIENCE, ServerProcess

CUTS = 10
GROWTH = 8192
"""KiB that either side may grow by over a transfer."""

SPEED = 15_000_000
"""Bytes a second, so that the cuts find the transfer under way."""

CLIENT = """
    import json, sys
    import rtmsync
    from rtmsync.server.config import DEV_APP_ID

    url, verb, what, path = sys.argv[1:]

    def memory(name):
        with open("/proc/self/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith(name))

    def tell(progress):
        print(progress.done, flush=True)

    with rtmsync.connect(url, app_id=DEV_APP_ID, user_id="ann", proxy=None) as client:
        client.download(client.upload_file(b"x").result()).result()  # what is loaded for the first one
        before = memory("VmRSS")
        if verb == "upload":
            result = client.upload_file(path, on_progress=tell).result().media_id
        else:
            result = str(client.download(what, path, on_progress=tell).result())
        print(json.dumps({"result": result, "grown": memory("VmHWM") - before}), flush=True)
"""


def memory_of(pid: int, name: str) -> int:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


class Journey:
    """One transfer by a process of its own, through a link that is cut and to a server that is killed once."""

    def __init__(self, server: ServerProcess, dice: random.Random, verb: str, what: str, path: Path) -> None:
        self.server = server
        self.done: list[int] = []
        self.result = ""
        self.grown = 0
        self.server_grown = 0
        self.cuts = 0
        places = sorted(dice.randrange(1, MEDIA_BYTES * 9 // 10) for _ in range(CUTS))
        self._kill_at = dice.randrange(MEDIA_BYTES // 4, MEDIA_BYTES // 2)
        with FaultProxy("127.0.0.1", server.port) as proxy:
            proxy.throttle(SPEED)
            command = [sys.executable, "-c", textwrap.dedent(CLIENT), proxy.url, verb, what, str(path)]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as client:
                try:
                    self._follow(client, proxy, places)
                    assert client.wait(PATIENCE) == 0
                finally:
                    client.kill()

    def _follow(self, client: "subprocess.Popen[str]", proxy: FaultProxy, places: list[int]) -> None:
        assert client.stdout is not None
        assert client.stderr is not None
        before = self._memory_when_warm()
        for line in client.stdout:
            found = json.loads(line)
            if isinstance(found, dict):
                self.result, self.grown = found["result"], found["grown"]
                self.server_grown = memory_of(self.server.pid, "VmHWM") - before
                continue
            self.done.append(found)
            if self._kill_at and found > self._kill_at:
                self._kill_at = 0
                self.server.kill()
                self.server.start()
                before = self._memory_when_warm()
            while places and found > places[0]:
                del places[0]
                self.cuts += proxy.cut()
        assert self.result, client.stderr.read()

    def _memory_when_warm(self) -> int:
        """What the server takes once it has loaded what any transfer needs."""
        url = self.server.url
        with rtmsync.connect(url, app_id=DEV_APP_ID, user_id="warm", proxy=None) as client:
            client.download(client.upload_file(b"x").result(PATIENCE)).result(PATIENCE)
        Path(f"/proc/{self.server.pid}/clear_refs").write_text(
            "5"
        )  # the peak of what went before is none of this
        return memory_of(self.server.pid, "VmRSS")

    def check(self) -> None:
        assert self.done == sorted(set(self.done))
        assert (self.done[0], self.done[-1]) == (0, MEDIA_BYTES)
        assert self.cuts >= 3  # several places may lie between two reports
        assert not self._kill_at
        assert self.grown < GROWTH
        assert self.server_grown < GROWTH


@pytest.mark.slow
@pytest.mark.timeout(400)
@pytest.mark.skipif(
    not Path("/proc/self/status").exists(), reason="the system does not tell the memory of processes"
)
def test_the_largest_file_byte_for_byte_through_cuts_and_a_kill(tmp_path: Path) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    dice = random.Random(seed)
    data = dice.randbytes(MEDIA_BYTES)
    path, back = tmp_path / "there", tmp_path / "back"
    path.write_bytes(data)
    with ServerProcess(tmp_path / "data") as server:
        up = Journey(server, dice, "upload", "", path)
        up.check()
        down = Journey(server, dice, "download", up.result, back)
        down.check()
        assert back.read_bytes() == data
    print(
        f"grown by {up.grown} and {down.grown} KiB, the server by {up.server_grown} and {down.server_grown} KiB"
    )
