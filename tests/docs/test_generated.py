"""Pages that are made from the code are those that would be made now."""

import pytest

from docs import generate, timelines
from rtmcore.connection.machines import MACHINES
from tests.docs.pages import page


@pytest.mark.parametrize("name", generate.PAGES)
def test_a_generated_page_is_up_to_date(name: str) -> None:
    assert page(name) == generate.PAGES[name](), "run: python -m docs.generate"


@pytest.mark.parametrize("told", timelines.ordered(), ids=lambda told: told.name)
def test_a_story_breaks_no_promise(told: timelines.Story) -> None:
    told.play().check()


def test_every_figure_has_a_comment_and_so_a_place_on_its_page() -> None:
    units = {"KIB", "MIB", "GIB", "DAY"}
    assert set(generate.assigned_without_comment()) == units


@pytest.mark.parametrize("name", MACHINES)
def test_every_state_has_a_place_on_the_drawing(name: str) -> None:
    states = {state for arrow in generate.arrows(MACHINES[name]) for state in arrow}
    assert states == set(generate.PLACES[name])
