"""What the tests of processes rely on."""

from tests.system.processes import free_port


def test_no_port_is_given_twice() -> None:
    assert len({free_port() for _ in range(200)}) == 200
