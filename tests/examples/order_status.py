"""The order status site as people run it."""

import contextlib
from pathlib import Path

from tests.examples.flask_sites import environment, run, running
from tests.examples.programs import EXAMPLES
from tests.system.processes import ServerProcess, free_port


class OrderStatus:
    """The order status site: its server, its listener and itself, each a process, on ports of their own.

    Args:
        directory: For its database and keys.

    Attributes:
        origin: Of the site's pages.
        advice: What `flask init` has printed.
        settings: What it has written.
        server: The RTM server, which may be killed and started again.
        listener: What handles the messages of customers and of the kitchen; from `with` on.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True)
        self.instance = directory / "instance"
        self._port = free_port()
        self.origin = f"http://127.0.0.1:{self._port}"
        self._variables = environment(
            directory, ORDER_STATUS_INSTANCE=str(self.instance), FLASK_APP=str(EXAMPLES / "order_status")
        )
        self.advice = self.flask("init")
        self.settings: dict[str, str] = {}
        exec((self.instance / "settings.py").read_text(), self.settings)
        keys = {"--secret-file": "RTM_SECRET", "--server-key-file": "RTM_SERVER_KEY"}
        options = ["--allow-origin", self.origin]
        for option, name in keys.items():
            (directory / name).write_text(self.settings[name])
            options += [option, str(directory / name)]
        self.server = ServerProcess(directory / "server", *options)
        self._variables["ORDER_STATUS_RTM_URL"] = self.server.url
        self._running = contextlib.ExitStack()

    @property
    def password(self) -> str:
        """Of the desk."""
        return self.settings["DESK_PASSWORD"]

    def flask(self, *arguments: str) -> str:
        """Run a command of the site."""
        return run(*arguments, variables=self._variables)

    def __enter__(self) -> "OrderStatus":
        site = ("run", "--port", str(self._port))
        with contextlib.ExitStack() as stack:
            stack.enter_context(self.server)
            self.listener = stack.enter_context(
                running("rtm", "listen", ready="Listening to", variables=self._variables)
            )
            stack.enter_context(running(*site, ready="Running on", variables=self._variables))
            self._running = stack.pop_all()
        return self

    def __exit__(self, *exc_info: object) -> None:
        self._running.__exit__(*exc_info)  # type: ignore[arg-type]
