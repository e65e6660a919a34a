"""What only a process of its own shows: forks, and the ways in which an interpreter ends."""

import signal
import socket
import subprocess
import time

import rtmsync
from rtmcore.limits import OFFLINE_AFTER
from rtmsync.server.server import Server
from tests.sync.conftest import KEY, Connect
from tests.sync.programs import run_program

PRELUDE = """
    import os, signal, sys, threading, time
    import rtmsync
    from rtmsync import ConnectionState
    from rtmsync.config import DEFAULT_TIMEOUTS
    from rtmsync.server.config import DEV_APP_ID as APP
    url, user = sys.argv[1:3]
    PATIENT = {call: 60 for call in DEFAULT_TIMEOUTS if call not in ("close", "logout", "leave")}
    def connect(name=user, **options):
        return rtmsync.connect(url, app_id=APP, user_id=name, timeouts=PATIENT, **options)
    def in_child(function):
        pid = os.fork()
        if pid == 0:
            status = 1
            try:
                function()
                status = 0
            except BaseException:
                import traceback
                traceback.print_exc()
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        assert os.waitpid(pid, 0)[1] == 0, "the child has failed"
"""


def run(server: Server, name: str, code: str, *, url: str | None = None) -> subprocess.CompletedProcess[str]:
    """Run a program against the server."""
    return run_program(url or server.url, name, PRELUDE, code)


def check(done: subprocess.CompletedProcess[str], output: str = "", status: int = 0) -> None:
    assert (done.stdout, done.stderr, done.returncode) == (output, "", status)


# --- The end of the interpreter --------------------------------------------------------------------------------


def test_a_program_that_falls_off_its_end_says_goodbye(server: Server, connect: Connect, name: str) -> None:
    watcher = connect()
    with watcher.channel(name) as channel:
        leaving = channel.events(rtmsync.MemberLeft)
        check(
            run(server, f"{name}-x", f"client = connect(); client.channel({name!r}).join(); print('end')"),
            "end\n",
        )
        # Before the server would have missed it.
        assert isinstance(leaving.get(timeout=OFFLINE_AFTER * 2 / 3), rtmsync.MemberLeft)


def test_an_exit_with_a_blocked_callback_is_bounded(server: Server, name: str) -> None:
    code = """
        client = connect()
        inside = threading.Event()
        def block(message):
            inside.set()
            time.sleep(80)
        client.on(rtmsync.PeerMessage, block)
        client.send_peer(user, "x")
        inside.wait(30)
        print("end")
    """
    begun = time.monotonic()
    check(run(server, name, code), "end\n")
    assert time.monotonic() - begun < 60


def test_an_exit_without_a_connection_is_bounded(server: Server, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = """
            client = rtmsync.Client(url, app_id=APP, user_id=user)
            future = client.login_future(timeout=80)
            time.sleep(0.2)
            print("end")
        """
        begun = time.monotonic()
        check(run(server, name, code, url=f"ws://127.0.0.1:{silent.getsockname()[1]}"), "end\n")
        assert time.monotonic() - begun < 60


def test_sys_exit_in_a_callback_ends_the_program_with_its_status(server: Server, name: str) -> None:
    code = """
        client = connect()
        client.on(rtmsync.PeerMessage, lambda message: sys.exit(7))
        client.send_peer(user, "x")
        client.run_forever()
    """
    check(run(server, name, code), status=7)


def test_sys_exit_in_a_callback_comes_up_at_the_end_of_the_block(server: Server, name: str) -> None:
    code = """
        with connect() as client:
            client.on(rtmsync.PeerMessage, lambda message: sys.exit(8))
            client.send_peer(user, "x")
            while client.state is ConnectionState.CONNECTED:
                time.sleep(0.01)
    """
    check(run(server, name, code), status=8)


def test_ctrl_c_while_connecting_ends_the_program(server: Server, name: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        code = """
            def strike():
                while not [each for each in threading.enumerate() if each.name.startswith("rtm-network")]:
                    time.sleep(0.01)
                time.sleep(0.2)
                os.kill(os.getpid(), signal.SIGINT)
            threading.Thread(target=strike).start()
            connect(timeout=80)
        """
        begun = time.monotonic()
        done = run(server, name, code, url=f"ws://127.0.0.1:{silent.getsockname()[1]}")
    assert done.returncode == -signal.SIGINT
    assert done.stderr.strip().endswith("KeyboardInterrupt")
    assert time.monotonic() - begun < 60


def test_sigterm_that_closes_ends_a_blocked_program(server: Server, name: str) -> None:
    code = """
        client = connect()
        signal.signal(signal.SIGTERM, lambda *_: client.close())
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGTERM)).start()
        client.run_forever()
        print("closed", client.state.name)
    """
    check(run(server, name, code), "closed DISCONNECTED\n")


def test_daemon_threads_that_send_at_the_end_do_no_harm(server: Server, name: str) -> None:
    code = f"""
        client = connect()
        channel = client.channel({name!r})
        channel.join()
        def flood():
            while True:
                try:
                    channel.send_future("x")
                except rtmsync.RtmError:
                    pass
        for _ in range(3):
            threading.Thread(target=flood, daemon=True).start()
        time.sleep(0.2)
        print("end")
    """
    check(run(server, name, code), "end\n")


# --- Forks -----------------------------------------------------------------------------------------------------


def test_a_forked_child_starts_anew_and_the_parent_is_not_disturbed(server: Server, name: str) -> None:
    code = """
        client = connect()
        inbox = client.events(rtmsync.PeerMessage)
        pending = client.send_peer_future(user, "before")
        pending.result(30)
        held = client.channel("fork").join_future()
        held.result(30)
        before = set(os.listdir("/proc/self/fd"))
        sockets = {fd for fd in before if os.path.exists(f"/proc/self/fd/{fd}")
                   and os.readlink(f"/proc/self/fd/{fd}").startswith(("socket:", "anon_inode:[eventfd"))}

        def child():
            assert client.state is ConnectionState.DISCONNECTED
            left = {fd for fd in sockets if os.path.exists(f"/proc/self/fd/{fd}")}
            assert not left, left
            for call in (lambda: client.send_peer("bob", "x"), client.channel("fork").join):
                try:
                    call()
                except rtmsync.NotLoggedIn:
                    pass
                else:
                    raise AssertionError
            try:
                inbox.get(timeout=1)
            except rtmsync.ForkedClient:
                pass
            client.close()

        in_child(child)
        assert client.state is ConnectionState.CONNECTED
        client.send_peer(user, "after")
        print([inbox.get().text for _ in range(2)], client.connection.attempt)
        client.close()
    """
    check(run(server, name, code), "['before', 'after'] 1\n")


def test_a_forked_child_can_log_in_as_somebody_else(server: Server, name: str) -> None:
    code = """
        import attrs
        client = connect()
        got = []
        client.on(rtmsync.PeerMessage, lambda message: got.append(message.text))

        def child():
            other = connect(user + "-child")
            assert other.send_peer(user, "from the child").status is rtmsync.SendStatus.DELIVERED
            other.close()

        in_child(child)
        while not got:
            time.sleep(0.01)
        print(got)
        client.close()
    """
    check(run(server, name, code), "['from the child']\n")


def test_callbacks_live_on_in_a_child_that_logs_in(server: Server, name: str) -> None:
    code = """
        client = rtmsync.Client(url, app_id=APP, user_id=user)
        got = []
        client.on(rtmsync.PeerMessage, lambda message: got.append(message.text))

        def child():
            client.login()
            client.send_peer(user, "hello")
            while not got:
                time.sleep(0.01)
            print(got, [thread.name for thread in threading.enumerate()][1:], flush=True)
            client.close()

        in_child(child)
        client.close()
    """
    check(run(server, name, code), f"['hello'] ['rtm-network-{name}', 'rtm-callbacks-{name}']\n")


def test_inherited_futures_fail_in_the_child_and_hold_in_the_parent(server: Server, name: str) -> None:
    code = """
        client = connect()
        pending = [client.send_peer_future(user, str(number), timeout=60) for number in range(20)]
        called = []
        pending[1].add_done_callback(lambda future: called.append(os.getpid()))
        blocked = threading.Thread(target=lambda: pending[0].result(60))
        blocked.start()  # holds the Future's condition every now and then
        time.sleep(0.05)

        def child():
            for future in pending:
                assert isinstance(future.exception(30), rtmsync.ForkedClient)
            try:
                pending[0].result(30)
            except rtmsync.ForkedClient as error:
                print("fork" in str(error), called, flush=True)

        in_child(child)
        inbox = client.events(rtmsync.PeerMessage)
        print({future.result(30).status.name for future in pending})
        blocked.join()
        client.close()
        while not called:
            time.sleep(0.01)
        print(called == [os.getpid()])
    """
    check(run(server, name, code), "True []\n{'DELIVERED'}\nTrue\n")


def test_a_fork_in_the_middle_of_work_never_hangs(server: Server, name: str) -> None:
    """Threads hold the client's locks whenever the fork strikes."""
    code = f"""
        client = connect(rate_limits=False)
        channel = client.channel({name!r})
        channel.join()
        stop = threading.Event()
        def work():
            while not stop.is_set():
                channel.send_future("x")
                channel.send("y")
        workers = [threading.Thread(target=work) for _ in range(3)]
        for worker in workers:
            worker.start()

        def child():
            assert client.state is ConnectionState.DISCONNECTED
            client.close()
            fresh = connect(user + "-child")
            fresh.close()

        for _ in range(10):
            in_child(child)
        stop.set()
        for worker in workers:
            worker.join()
        print(client.state.name, client.connection.attempt)
        client.close()
    """
    check(run(server, name, code), "CONNECTED 1\n")


def test_many_threads_may_find_the_fork_at_the_same_time(server: Server, name: str) -> None:
    """Each inherited connection is left once, and none that the child has made meanwhile."""
    code = f"""
        os.register_at_fork = lambda **hooks: None
        client = connect()
        fresh = rtmsync.Client(url, app_id=APP, user_id=user + "-child")
        fresh.on(rtmsync.PeerMessage, lambda message: None)
        publisher = rtmsync.Publisher(url, app_id=APP, server_key={KEY!r})
        publisher.publish({name!r}, "before", sender="x")
        sys.setswitchinterval(1e-6)

        def child():
            go, lock, failed, logins = threading.Barrier(12), threading.Lock(), [], []
            def work():
                try:
                    go.wait()
                    assert client.state is ConnectionState.DISCONNECTED
                    with lock:
                        if not logins:
                            logins.append(fresh.login(30))
                    publisher.publish({name!r}, "x", sender="x", timeout=30)
                    fresh.send_peer(fresh.user_id, "x", timeout=30)
                except BaseException as error:
                    failed.append(repr(error))
            workers = [threading.Thread(target=work) for _ in range(12)]
            for worker in workers:
                worker.start()
            for worker in workers:
                worker.join()
            assert not failed, failed
            fresh._after_fork(os.getpid())  # a thread that has looked before all others, and comes last
            fresh.send_peer(fresh.user_id, "x", timeout=30)
            assert fresh.connection.attempt == 1
            fresh.close()

        for _ in range(8):
            in_child(child)
        print(client.state.name, client.connection.attempt)
        client.close()
    """
    check(run(server, name, code), "CONNECTED 1\n")


def test_an_open_publisher_ends_with_the_program(server: Server, name: str) -> None:
    code = f"""
        publisher = rtmsync.Publisher(url, app_id=APP, server_key={KEY!r})
        publisher.publish({name!r}, "x", sender="x")
        assert [fd for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{{fd}}")
                and os.readlink(f"/proc/self/fd/{{fd}}").startswith("socket:")]
        print("end")
    """
    check(run(server, name, code), "end\n")


def test_a_fork_after_a_message_of_a_publisher_warns_of_nothing(server: Server, name: str) -> None:
    """It has no thread; CPython 3.12 and later warn of forks while there are any."""
    code = f"""
        import warnings
        warnings.simplefilter("error")
        publisher = rtmsync.Publisher(url, app_id=APP, server_key={KEY!r})
        client = rtmsync.Client(url, app_id=APP, user_id=user)
        publisher.publish({name!r}, "x", sender="x")
        def child():
            publisher.publish({name!r}, "x", sender="x")
            client.login()
            client.close()
            publisher.close()
        in_child(child)
        publisher.publish({name!r}, "x", sender="x")
        publisher.close()
        print("end")
    """
    check(run(server, name, code), "end\n")


def test_without_the_hook_a_child_is_noticed_all_the_same(server: Server, name: str) -> None:
    """Some servers fork without running the interpreter's hooks."""
    code = """
        os.register_at_fork = lambda **hooks: None
        client = connect()
        pending = client.send_peer_future(user, "x")
        subscription = client.events(rtmsync.StateChanged)

        def child():
            try:
                pending.result(30)
            except rtmsync.ForkedClient:
                print("future", flush=True)
            try:
                subscription.get(timeout=1)
            except rtmsync.ForkedClient:
                print("subscription", flush=True)
            assert client.state is ConnectionState.DISCONNECTED
            client.close()

        in_child(child)
        client.events(rtmsync.PeerMessage)
        print(client.state.name)
        client.close()
    """
    check(run(server, name, code), "future\nsubscription\nCONNECTED\n")


def test_the_parent_ends_a_connection_that_a_child_still_holds(
    server: Server, connect: Connect, name: str
) -> None:
    """A child that never touches the client keeps the descriptor open; the goodbye arrives all the same."""
    watcher = connect()
    with watcher.channel(name) as channel:
        leaving = channel.events(rtmsync.MemberLeft)
        code = f"""
            os.register_at_fork = lambda **hooks: None
            client = connect()
            client.channel({name!r}).join()
            pid = os.fork()
            if pid == 0:
                time.sleep(60)
                os._exit(0)
            client.close()
            print("closed", flush=True)
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)
        """
        check(run(server, f"{name}-x", code), "closed\n")
        assert isinstance(leaving.get(timeout=20), rtmsync.MemberLeft)


# --- Signals that must not kill --------------------------------------------------------------------------------


def test_a_broken_pipe_does_not_kill_a_program_with_default_sigpipe(server: Server, name: str) -> None:
    code = """
        from rtmsync.testing import FaultProxy
        signal.signal(signal.SIGPIPE, signal.SIG_DFL)
        with FaultProxy("127.0.0.1", int(url.rsplit(":", 1)[1])) as proxy:
            client = rtmsync.connect(f"ws://127.0.0.1:{proxy.port}", app_id=APP, user_id=user, rate_limits=False)
            channel = client.channel("pipe")
            channel.join()
            for number in range(200):
                channel.send_future("x" * 1000, timeout=30)
                if number % 40 == 0:
                    proxy.cut("fin")
            channel.send("end", timeout=30)
            client.close()
        print("alive")
    """
    check(run(server, name, code), "alive\n")
