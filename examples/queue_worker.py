"""A work queue over peer messages: each job is done, and its effect happens once, whatever crashes meanwhile.

    python queue_worker.py work FOLDER          works, as the user "worker"; the results are files in FOLDER
    python queue_worker.py give TEXT [TEXT …]   gives jobs, and waits until all are done

RTM_URL and RTM_APP_ID say which server, RTM_TOKEN is a token where one is wanted.

The library acknowledges a message when the program has taken it, which is too early for work: a worker that crashes
would lose its job. So the worker acknowledges by a message of its own, behind the work. Until then the giver repeats
a job, under the same id, and the worker does nothing twice: a result that is on the disk is told again.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
import uuid
from pathlib import Path

import rtmsync
from rtmsync.exits import exit_code

WORKER = "worker"
AGAIN_AFTER = 5.0
"""Seconds without an answer after which a job is given again."""

LOOK_EVERY = 0.5
"""Seconds between two looks at whether there is something else to do."""


def connect(user: str) -> rtmsync.Client:
    url, app_id = os.environ["RTM_URL"], os.environ["RTM_APP_ID"]
    return rtmsync.connect(url, app_id=app_id, user_id=user, token=os.environ.get("RTM_TOKEN"))


# --- The worker -----------------------------------------------------------------------------------------------------


def work(folder: Path) -> int:
    """Work until SIGTERM or Ctrl-C; what was begun is finished first."""
    folder.mkdir(parents=True, exist_ok=True)
    stopping = threading.Event()
    with connect(WORKER) as client, client.events(rtmsync.PeerMessage) as jobs:
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, lambda *_: stopping.set())
        print("ready", flush=True)
        while not stopping.is_set():
            try:
                message = jobs.get(timeout=LOOK_EVERY)
            except rtmsync.RequestTimeout:
                continue
            if isinstance(message, rtmsync.PeerMessage):
                serve(client, message, folder)
    print("ends", flush=True)
    return 0


def serve(client: rtmsync.Client, message: rtmsync.PeerMessage, folder: Path) -> None:
    """Do one job, unless it is done already, and answer."""
    try:
        job = json.loads(message.text)
        path, text = folder / f"{uuid.UUID(job['id'])}.json", str(job["text"])
    except (ValueError, KeyError, TypeError) as error:
        print(f"no job, from {message.sender}: {error!r}", file=sys.stderr)
        return
    if not path.exists():
        print(f"begins {text}", flush=True)
        keep(path, json.dumps({"id": job["id"], "result": do(text)}))
        print(f"done {text}", flush=True)
    try:
        client.send_peer(message.sender, path.read_text(), offline=True)
    except rtmsync.RtmError as error:
        print(f"{message.sender} was not told, and will ask again: {error}", file=sys.stderr)


def do(text: str) -> str:
    """The work itself: here, counting the words of a text, half a second each."""
    words = text.split()
    for _ in words:
        time.sleep(0.5)
    return f"{len(words)} words"


def keep(path: Path, content: str) -> None:
    """Write a file that is there either as a whole or not at all, also after a power failure."""
    part = path.with_suffix(".part")
    with part.open("w") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    part.replace(path)


# --- Who gives jobs -------------------------------------------------------------------------------------------------


def give(texts: list[str]) -> int:
    """Give jobs, and print each result; ends when all are done."""
    waiting = {str(uuid.uuid4()): text for text in texts}
    given_at = dict.fromkeys(waiting, -AGAIN_AFTER)
    with connect(f"giver-{uuid.uuid4().hex[:12]}") as client, client.events(rtmsync.PeerMessage) as answers:
        client.subscribe_presence(WORKER)
        while waiting:
            there = client.presence.get(WORKER) is rtmsync.PeerOnlineState.ONLINE
            for id, text in waiting.items():
                if there and time.monotonic() >= given_at[id] + AGAIN_AFTER:
                    given_at[id] = time.monotonic()
                    # Nobody waits for this: a job that does not arrive is one without an answer, and given again.
                    client.send_peer_future(WORKER, json.dumps({"id": id, "text": text}))
            try:
                answer = answers.get(timeout=LOOK_EVERY)
            except rtmsync.RequestTimeout:
                continue
            if isinstance(answer, rtmsync.PeerMessage) and answer.sender == WORKER:
                done = json.loads(answer.text)
                if done["id"] in waiting:
                    print(f"{waiting.pop(done['id'])}: {done['result']}", flush=True)
    return 0


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("work").add_argument("folder", type=Path)
    commands.add_parser("give").add_argument("texts", nargs="+")
    options = parser.parse_args()
    try:
        return work(options.folder) if options.command == "work" else give(options.texts)
    except rtmsync.RtmError as error:  # such as a login that the server refuses
        print(f"queue_worker: {error}", file=sys.stderr)
        return exit_code(error)


if __name__ == "__main__":
    sys.exit(main())
