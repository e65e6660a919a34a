"""The largest file, up and down, with cuts at random places and a server that is killed on the way."""

import json
import random
import subprocess
import sys
import textwrap
import threading
from pathlib import Path

import pytest

import rtmsync
from rtmcore.limits import MEDIA_BYTES
from rtmsync.server.config import DEV_APP_ID
from rtmsync.testing import BlackHole, FaultProxy, Rule
from rtmsync.testing.rules import Direction
from tests.system.processes import PATIENCE, ServerProcess

CUTS = 10
GROWTH = 8192
"""KiB that either side may grow by over a transfer."""

PLACES = CUTS + 3
"""Where the link stops: for each cut, for the kill, and two more."""

SPEED = 15_000_000
"""Bytes a second: less than either side could send, so that buffers fill."""

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
    """One transfer by a process of its own, through a link that is cut and to a server that is killed once.

    The link stops in front of each place, and goes on when the test has done there what is to be done: however slow
    the machine is, the transfer is under way then, and cannot be over before the last place.
    """

    def __init__(self, server: ServerProcess, dice: random.Random, verb: str, what: str, path: Path) -> None:
        self.server = server
        self.done: list[int] = []
        self.result = ""
        self.grown = 0
        self.server_grown: list[int] = []
        self.cuts = 0
        self._way: Direction = "to_server" if verb == "upload" else "to_client"
        self._kill_behind = dice.randrange(2, CUTS)
        self._killed = False
        self._stops = 0
        self._before = self._memory_when_warm()
        with FaultProxy("127.0.0.1", server.port, rules=self._places(dice)) as proxy:
            proxy.throttle(SPEED)
            command = [sys.executable, "-c", textwrap.dedent(CLIENT), proxy.url, verb, what, str(path)]
            with subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
            ) as client:
                reader = threading.Thread(target=self._read, args=(client,))
                reader.start()
                said = client.stderr
                assert said is not None
                try:
                    self._follow(client, proxy)
                    assert client.wait(PATIENCE) == 0, said.read()
                finally:
                    client.kill()
                    reader.join()
        self.server_grown.append(memory_of(self.server.pid, "VmHWM") - self._before)

    def _places(self, dice: random.Random) -> list[Rule]:
        """Stops, each once and so many bytes behind the beginning of a connection: all come before the file's end.

        No connection but those of the transfer carries as many bytes.
        """
        most = MEDIA_BYTES * 9 // 10 // PLACES
        hole = BlackHole(self._way)
        return [
            Rule(hole, direction=self._way, after_bytes=dice.randrange(most // 2, most), times=1)
            for _ in range(PLACES)
        ]

    def _read(self, client: "subprocess.Popen[str]") -> None:
        assert client.stdout is not None
        for line in client.stdout:
            found = json.loads(line)
            if isinstance(found, dict):
                self.result, self.grown = found["result"], found["grown"]
            else:
                self.done.append(found)

    def _follow(self, client: "subprocess.Popen[str]", proxy: FaultProxy) -> None:
        def stops() -> list[int | None]:
            return [each.connection for each in proxy.log if each.what == "rule" and "Hole" in each.detail]

        def something(_: FaultProxy) -> bool:
            return len(stops()) > self._stops or client.poll() is not None

        while client.poll() is None:
            proxy.wait_for(something, PATIENCE)
            for connection in stops()[self._stops :]:
                self._stops += 1
                if self.cuts == self._kill_behind and not self._killed:
                    self._kill(proxy)
                elif self.cuts < CUTS:
                    # One that the client has given up meanwhile does not count: there are places enough.
                    self.cuts += proxy.cut(connection=connection)
                    proxy.cut()
                else:
                    proxy.heal(connection)

    def _kill(self, proxy: FaultProxy) -> None:
        assert max(self.done, default=0) < MEDIA_BYTES
        self.server_grown.append(memory_of(self.server.pid, "VmHWM") - self._before)
        proxy.refuse()  # what the new server takes is measured before the transfer goes on
        self.server.kill()
        proxy.heal()  # so that the client learns of it
        self.server.start()
        self._before = self._memory_when_warm()
        proxy.refuse(False)
        self._killed = True

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
        assert self.cuts == CUTS  # of connections of the transfer; the client's other one was cut with each
        assert self._killed
        assert self.grown < GROWTH
        assert len(self.server_grown) == 2
        assert max(self.server_grown) < GROWTH


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
        f"grown by {up.grown} and {down.grown} KiB, the server by {up.server_grown} and {down.server_grown} KiB, "
        "before and after it was killed"
    )
