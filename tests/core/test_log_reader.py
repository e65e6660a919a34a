"""What a reader of a log makes of answers about gaps."""

from rtmcore.client.logs import LogReader


def test_an_answer_that_begins_right_behind_an_own_entry_is_not_taken_for_news() -> None:
    reader: LogReader[str] = LogReader(10)
    # 11 is another's and was not announced in time; 12 is the reader's own.
    assert reader.take(12, 11, None) == ()
    assert reader.gap
    reader.ask()
    # The server has lost 11 by now, so that its answer begins at 13.
    for position in range(13, 45):
        reader.take(position, position - 1, f"entry {position}")
    before, lost, behind = reader.top(44, 1)
    assert (before, lost) == ([], 1)
    assert behind == [f"entry {position}" for position in range(13, 45)]


def test_what_came_before_an_answer_behind_own_entries_is_not_lost() -> None:
    reader: LogReader[str] = LogReader(10)
    assert reader.take(12, 11, None) == ()
    assert reader.take(13, 12, None) == ()
    reader.ask()
    # News that was on its way when the server got the question: 11, and then 14 behind two own entries.
    assert reader.take(11, 10, "entry 11") == ("entry 11",) or reader.last == 13
    assert list(reader.take(14, 13, "entry 14")) == ["entry 14"]
    # The server had neither any more when it read the question.
    assert reader.top(14, 2) == ([], 0, [])


def test_positions_that_go_back_do_not_hang_the_reader() -> None:
    reader: LogReader[str] = LogReader(10)
    reader.take(5, 20, None)
    reader.take(20, 5, None)
    reader.take(30, 25, "entry 30")
    reader.ask()
    reader.take(31, 7, "entry 31")
    assert reader.gap


def test_what_is_held_is_released_in_order_each_with_what_is_missing_before_it() -> None:
    reader: LogReader[str] = LogReader(10)
    assert reader.release() == []
    for position, prev, text in (
        (15, 14, "entry 15"),
        (13, 12, None),
        (16, 15, "entry 16"),
        (12, 11, "entry 12"),
    ):
        assert reader.take(position, prev, text, 5) == ()
    assert reader.release() == [("entry 12", True), (None, False), ("entry 15", True), ("entry 16", False)]
    assert (reader.gap, reader.held, reader.held_bytes, reader.last) == (False, 0, 0, 10)
