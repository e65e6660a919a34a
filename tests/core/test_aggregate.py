"""The aggregate state: every row and cell of the documented truth tables."""

from itertools import combinations_with_replacement, product

import pytest

from rtmcore.codes import DtlsTransportState, IceTransportState, PeerConnectionState
from rtmcore.connection.aggregate import MDN_2021, W3C, ice_connection_state, peer_connection_state
from rtmcore.errors import InvalidArgument

ONE_OF_EACH = """
ice\\dtls      new           connecting    connected             closed                failed
new           new           connecting    connecting            new                   failed
checking      connecting    connecting    connecting            connecting            failed
connected     connecting    connecting    connected             connected             failed
completed     connecting    connecting    connecting/connected  connecting/connected  failed
disconnected  disconnected  disconnected  disconnected          disconnected          failed
failed        failed        failed        failed                failed                failed
closed        new           connecting    connecting            new                   failed
"""

TWO_LINKS = """
              new           checking      connected     completed     disconnected  failed  closed
new           new           checking      checking      checking      disconnected  failed  new
checking      checking      checking      checking      checking      disconnected  failed  checking
connected     checking      checking      connected     connected     disconnected  failed  connected
completed     checking      checking      connected     completed     disconnected  failed  completed
disconnected  disconnected  disconnected  disconnected  disconnected  disconnected  failed  disconnected
failed        failed        failed        failed        failed        failed        failed  failed
closed        new           checking      connected     completed     disconnected  failed  new
"""

LINK_AND_SET = """
                                new         checking    connected   completed   disconnected  failed
new                             new         connecting  connecting  connecting  disconnected  failed
new,closed                      new         connecting  connecting  connecting  disconnected  failed
connecting                      connecting  connecting  connecting  connecting  disconnected  failed
connecting,connected            connecting  connecting  connecting  connecting  disconnected  failed
connecting,new,closed           connecting  connecting  connecting  connecting  disconnected  failed
new,connected                   connecting  connecting  connecting  connecting  disconnected  failed
connected                       connecting  connecting  connected   connected   disconnected  failed
connected,closed                connecting  connecting  connected   connected   disconnected  failed
closed                          new         connecting  connected   connected   disconnected  failed
failed                          failed      failed      failed      failed      failed        failed
failed,connected                failed      failed      failed      failed      failed        failed
"""

# Name of the row; links; TLS; by the wording of 2021; by the W3C.
DIFFERENCES = [
    ("no transports", "", "", "new", "new"),
    ("all closed", "closed,closed", "closed", "new", "new"),
    ("new", "new", "", "new", "new"),
    ("new and closed", "new,closed", "", "new", "new"),
    ("new and connected", "new,connected", "", "new", "connecting"),
    ("checking and connected", "checking,connected", "", "connecting", "connecting"),
    ("checking and new", "checking,new", "", "connecting", "connecting"),
    ("disconnected and checking", "disconnected,checking", "", "connecting", "disconnected"),
    ("disconnected and new", "disconnected,new", "", "disconnected", "disconnected"),
    ("disconnected and connected", "disconnected,connected", "", "disconnected", "disconnected"),
    ("connected", "connected", "", "connected", "connected"),
    ("completed", "completed", "", "connected", "connected"),
    ("connected and completed", "connected,completed", "", "connected", "connected"),
    ("connected and closed", "connected,closed", "", "connected", "connected"),
    ("completed and closed", "completed,closed", "", "connected", "connected"),
    ("link connected, TLS new", "connected", "new", "new", "connecting"),
    ("link connected, TLS connecting", "connected", "connecting", "connecting", "connecting"),
    ("a link failed", "connected,failed", "connected", "failed", "failed"),
    ("TLS failed", "connected", "failed", "failed", "failed"),
]


def ice(names: str) -> list[IceTransportState]:
    return [IceTransportState(name) for name in names.split(",") if name]


def dtls(names: str) -> list[DtlsTransportState]:
    return [DtlsTransportState(name) for name in names.split(",") if name]


def cells(table: str) -> list[tuple[str, str, str]]:
    head, *rows = [line for line in table.splitlines() if line.strip()]
    columns = head.split() if head.startswith(" ") else head.split()[1:]
    found = []
    for row in rows:
        name, *values = row.split()
        assert len(values) == len(columns), row
        found += [(name, column, value) for column, value in zip(columns, values, strict=True)]
    return found


@pytest.mark.parametrize(("link", "tls", "expected"), cells(ONE_OF_EACH))
def test_row_5_4_one_link_and_its_tls(link: str, tls: str, expected: str) -> None:
    literal, _, recommended = expected.partition("/")
    assert peer_connection_state(ice(link), dtls(tls)).value == (recommended or literal)
    assert peer_connection_state(ice(link), dtls(tls), strict_spec=True).value == literal


@pytest.mark.parametrize(("one", "other", "expected"), cells(TWO_LINKS))
def test_row_5_4_two_links(one: str, other: str, expected: str) -> None:
    assert ice_connection_state(ice(f"{one},{other}")).value == expected


@pytest.mark.parametrize(("tls", "link", "expected"), cells(LINK_AND_SET))
def test_row_5_4_all_links_and_a_set_of_tls(tls: str, link: str, expected: str) -> None:
    assert peer_connection_state(ice(link), dtls(tls)).value == expected


def test_row_5_4_no_transports_at_all() -> None:
    assert peer_connection_state([]) is PeerConnectionState.NEW


@pytest.mark.parametrize(
    ("links", "tls", "in_2021", "w3c"), [row[1:] for row in DIFFERENCES], ids=[row[0] for row in DIFFERENCES]
)
def test_row_5_5_both_wordings(links: str, tls: str, in_2021: str, w3c: str) -> None:
    assert peer_connection_state(ice(links), dtls(tls), rules=MDN_2021).value == in_2021
    assert peer_connection_state(ice(links), dtls(tls), rules=W3C).value == w3c


@pytest.mark.parametrize("rules", [W3C, MDN_2021])
def test_row_5_5_a_closed_client_is_closed_whatever_its_transports_say(rules: str) -> None:
    for links, tls in product(
        combinations_with_replacement(IceTransportState, 2),
        combinations_with_replacement(DtlsTransportState, 2),
    ):
        assert peer_connection_state(links, tls, closed=True, rules=rules) is PeerConnectionState.CLOSED
    assert ice_connection_state([IceTransportState.FAILED], closed=True) is IceTransportState.CLOSED


def test_the_wordings_differ_in_the_documented_three_ways_only() -> None:
    """Of all pairs of links without TLS, and of one link with TLS."""
    found = set()
    for links in combinations_with_replacement(IceTransportState, 2):
        if peer_connection_state(links) is not peer_connection_state(links, rules=MDN_2021):
            found.add(frozenset(state.value for state in links))
    assert found == {
        frozenset({"new", "connected"}),
        frozenset({"new", "completed"}),
        frozenset({"disconnected", "checking"}),
    }


def test_unknown_rules_are_refused() -> None:
    with pytest.raises(InvalidArgument, match="w3c or mdn2021"):
        peer_connection_state([], rules="w4c")
