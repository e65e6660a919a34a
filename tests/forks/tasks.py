"""Tasks for Celery that publish what `shop` publishes from its views; the broker is a directory, ``SHOP_BROKER``."""

import os
from pathlib import Path

from celery import Celery, signals

from tests.forks import shop

_broker = Path(os.environ["SHOP_BROKER"])
for folder in ("messages", "processed", "results"):
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
    """What became of it, and in which process."""
    return f"{os.getpid()} {shop.VIEWS[view](what)}"


@signals.worker_process_shutdown.connect
def say_goodbye(**_: object) -> None:
    """The processes of a pool end without the hooks of `atexit`."""
    shop.close()
