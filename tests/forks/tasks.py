"""Tasks for Celery that publish what `shop` publishes from its views; the broker is a directory, ``SHOP_BROKER``."""

import os
import time
from pathlib import Path

from celery import Celery, signals

from tests.forks import shop
from tests.forks.programs import PATIENCE

_broker = Path(os.environ["SHOP_BROKER"])
for folder in ("messages", "processed", "results", "present"):
    (_broker / folder).mkdir(exist_ok=True)

app = Celery("tasks", broker="filesystem://", backend=f"file://{_broker / 'results'}")
app.conf.update(
    broker_transport_options={
        "data_folder_in": str(_broker / "messages"),
        "data_folder_out": str(_broker / "messages"),
        "processed_folder": str(_broker / "processed"),
        "control_folder": str(_broker / "processed"),
        "polling_interval": 0.05,
    },
    worker_hijack_root_logger=False,
    worker_prefetch_multiplier=1,
)


@app.task(name="act")
def act(view: str, what: str) -> str:
    """What became of it, and in which process. The first two of each view wait for each other, in two processes."""
    if what in (f"{view}-0", f"{view}-1"):
        _meet(view)
    return f"{os.getpid()} {shop.VIEWS[view](what)}"


def _meet(view: str) -> None:
    present = _broker / "present"
    (present / f"{view}-{os.getpid()}").touch()
    due = time.monotonic() + PATIENCE
    while len(list(present.glob(f"{view}-*"))) < 2:
        assert time.monotonic() < due, f"no other process has a task for {view}"
        time.sleep(0.01)


@signals.worker_process_shutdown.connect
def say_goodbye(**_: object) -> None:
    """The processes of a pool end without the hooks of `atexit`."""
    shop.close()
