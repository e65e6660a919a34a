"""The client's own tests once more, where gevent has replaced threads, sockets and waits: in a process of its own."""

import pytest

from tests.forks.programs import Program, python
from tests.peers import require

require("gevent")

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

PATCHED = """
from gevent import monkey, hub
monkey.patch_all()
hub.get_hub()  # it has descriptors, which no test is to be blamed for
import sys, threading
import pytest
assert threading.Thread(target=int).start() is None and "gevent" in threading.Lock.__module__ + repr(threading.Lock)
sys.exit(pytest.main(sys.argv[1:]))
"""


@pytest.mark.parametrize(
    ("names", "only"),
    [
        (["messages", "futures"], ""),
        (["client", "attributes"], ""),
        (["network"], "tls_survives_cuts or provider or outage or every_address"),
        (["transfers"], "progress_begins or downloads_go or cuts_are"),
    ],
    ids=lambda value: "-".join(value) if isinstance(value, list) else "",
)
def test_the_client_behaves_as_on_threads(names: list[str], only: str) -> None:
    """Ctrl-C is left out: it reaches gevent's hub, and not the greenlet that waits."""
    files = [f"tests/sync/test_{name}.py" for name in names]
    options = ["-q", "-p", "no:cacheprovider", "--timeout", "60", *(["-k", only] if only else [])]
    with Program(python("-c", PATCHED, *files, *options), PYTHONWARNINGS="") as program:
        status, _ = program.wait(280)
    assert status == 0, program.output
    print(f"{', '.join(names)}: {program.said[-1].strip()}")
