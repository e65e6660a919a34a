"""The shape of the house: which module may know which, and what an import may do."""

import ast
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
EXTRAS = ("PIL", "click", "django", "flask", "jwt", "prometheus_client", "redis", "rich")

# Input and output, threads, processes, clocks, chance, logging: what a driver is for.
BANNED_IN_CORE = frozenset(
    """
    _io _random _socket _ssl _thread asyncio atexit builtins concurrent ctypes curses dbm fcntl
    fileinput ftplib getpass glob http.client http.cookiejar http.server imaplib importlib io
    logging mmap multiprocessing os pathlib poplib posix pty queue random resource sched secrets
    select selectors shutil signal smtplib socket socketserver sqlite3 ssl subprocess syslog
    tempfile termios threading time tty urllib.request uuid
    """.split()
)
BANNED_CALLS_IN_CORE = frozenset({"__import__", "breakpoint", "exec", "eval", "input", "open", "print"})
CLOCK_CALLS = frozenset({"now", "utcnow", "today"})

ABOVE_THE_CLIENT = frozenset({"__main__.py", "cli", "contrib", "server", "testing"})

ALLOWED_AT_THE_TOP = frozenset(
    """
    CHANGELOG.md CONTRIBUTING.md LICENSE Makefile README.md docs examples pyproject.toml rtmcore rtmsync
    setup.cfg tests
    """.split()
)


def modules_of(package: str) -> list[Path]:
    found = sorted((ROOT / package).rglob("*.py"))
    assert found, f"{package} holds no module"
    return found


def imported(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """Each imported name with its line: the module, and module.name for `from module import name`.

    ruff refuses relative imports.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from ((node.lineno, f"{node.module}.{alias.name}") for alias in node.names)


def impurities(source: str) -> list[str]:
    """What a module of rtmcore must not contain, as `line: what`."""
    tree = ast.parse(source)
    found = []
    for line, name in imported(tree):
        parts = name.split(".")
        if any(".".join(parts[:depth]) in BANNED_IN_CORE for depth in range(1, len(parts) + 1)):
            found.append(f"{line}: import of {name}")
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = node.func
        if isinstance(called, ast.Name) and called.id in BANNED_CALLS_IN_CORE:
            found.append(f"{node.lineno}: call of {called.id}()")
        if isinstance(called, ast.Attribute) and called.attr in CLOCK_CALLS:
            owner = ast.unparse(called.value)
            if owner.split(".")[-1] in {"datetime", "date"}:
                found.append(f"{node.lineno}: {owner}.{called.attr}() reads the clock")
    return found


def run_python(code: str) -> object:
    """Run code in a fresh interpreter and return what it printed, read as JSON."""
    run = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, timeout=60, check=False
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.parametrize("path", modules_of("rtmcore"), ids=lambda path: str(path.relative_to(ROOT)))
def test_core_is_pure(path: Path) -> None:
    assert impurities(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize(
    "source",
    [
        "import socket",
        "import os.path",
        "from time import monotonic",
        "from urllib import request",
        "import urllib.request as r",
        "def f():\n    import random",
        "import datetime\nx = datetime.datetime.now()",
        "from datetime import date\nx = date.today()",
        "open('x')",
    ],
)
def test_the_purity_check_sees(source: str) -> None:
    assert len(impurities(source)) == 1


@pytest.mark.parametrize(
    "source",
    ["from urllib.parse import urlsplit", "import rtmcore.wire", "self.now()", "frame.date.isoformat()"],
)
def test_the_purity_check_lets_pass(source: str) -> None:
    assert impurities(source) == []


def test_driver_imports_only_public_names_of_the_core() -> None:
    private = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules_of("rtmsync")
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.split(".")[0] == "rtmcore" and any(part.startswith("_") for part in name.split("."))
        if name != "rtmcore.__version__"
    ]
    assert private == []


def test_only_the_parts_above_the_client_know_what_is_above_it() -> None:
    """The contracts name the modules of the client; this sees the ones that nobody listed there."""
    upward = [
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in modules_of("rtmsync")
        if path.relative_to(ROOT / "rtmsync").parts[0] not in ABOVE_THE_CLIENT
        for line, name in imported(ast.parse(path.read_text(encoding="utf-8")))
        if name.startswith("rtmsync.") and name.split(".")[1] in ABOVE_THE_CLIENT
    ]
    assert upward == []


def test_layer_contracts_hold() -> None:
    run = subprocess.run(
        [
            sys.executable,
            "-c",
            "from importlinter.cli import lint_imports_command as run; run()",
            "--no-cache",
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert run.returncode == 0, run.stdout + run.stderr


def test_importing_rtmsync_loads_neither_asyncio_nor_an_extra() -> None:
    loaded = run_python(
        "import sys; before = set(sys.modules); import json, rtmsync;"
        "print(json.dumps(sorted({name.split('.')[0] for name in set(sys.modules) - before})))"
    )
    assert isinstance(loaded, list)
    assert "rtmsync" in loaded
    assert not {"asyncio", *EXTRAS}.intersection(loaded)


IMPORT_EVERYTHING = f"""
import importlib, json, logging, os, pkgutil, signal, socket, sys, threading

def world():
    return {{
        "signal handlers": [repr(signal.getsignal(number)) for number in sorted(signal.valid_signals())],
        "root logger": [repr(logging.root.handlers), logging.root.level, logging.root.disabled],
        "threads": [thread.name for thread in threading.enumerate()],
        "descriptors": sorted(os.listdir("/proc/self/fd")) if os.path.isdir("/proc/self/fd") else [],
        "hooks": [repr(hook) for hook in (sys.excepthook, threading.excepthook, sys.unraisablehook)],
        "socket timeout": socket.getdefaulttimeout(),
        "switch interval": sys.getswitchinterval(),
        "recursion limit": sys.getrecursionlimit(),
    }}

try:
    import exceptiongroup  # before Python 3.11 cattrs needs it, and it sets a hook of its own
except ImportError:
    pass
before = world()
count = 0
for package in ("rtmcore", "rtmsync"):
    found = [package]
    for info in pkgutil.walk_packages(importlib.import_module(package).__path__, package + "."):
        found.append(info.name)
    for name in found:
        if name.endswith("__main__") or name.startswith("rtmsync.contrib."):
            continue
        try:
            importlib.import_module(name)
            count += 1
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in {EXTRAS!r}:
                raise
after = world()
changed = [key for key in before if before[key] != after[key]]
print(json.dumps([count, changed]))
"""


def test_importing_every_module_changes_nothing_outside() -> None:
    result = run_python(IMPORT_EVERYTHING)
    assert isinstance(result, list)
    count, changed = result
    assert count >= 2
    assert changed == []


def environment_reads_at_import(tree: ast.Module) -> Iterator[int]:
    """Lines outside any function that touch os.environ or os.getenv."""
    waiting: list[ast.AST] = [tree]
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda):
            waiting.extend(getattr(node, "decorator_list", []))
            waiting.extend([default for default in (*node.args.defaults, *node.args.kw_defaults) if default])
            continue
        if isinstance(node, ast.Attribute) and node.attr in {"environ", "getenv"}:
            yield node.lineno
        waiting.extend(ast.iter_child_nodes(node))


def test_no_module_reads_the_environment_when_imported() -> None:
    reads = [
        f"{path.relative_to(ROOT)}:{line}"
        for package in ("rtmcore", "rtmsync")
        for path in modules_of(package)
        for line in environment_reads_at_import(ast.parse(path.read_text(encoding="utf-8")))
    ]
    assert reads == []


def test_top_level_holds_only_what_belongs_there() -> None:
    if not (ROOT / ".git").exists():
        pytest.skip(
            "not a git checkout: what was generated here cannot be told from what belongs to the project"
        )
    listing = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        capture_output=True,
        text=True,
        timeout=60,
        check=True,
    )
    entries = {name.split("/")[0] for name in listing.stdout.split("\0") if name}
    strangers = sorted(name for name in entries - ALLOWED_AT_THE_TOP if not name.startswith("."))
    assert strangers == []
