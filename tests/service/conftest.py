"""A world for each test of the node: with an engine that answers at once, and with one that answers late."""

from collections.abc import Callable

import pytest

from tests.service.wires import World

SEEDS = [None, 1, 2]


@pytest.fixture(params=SEEDS, ids=lambda seed: "prompt" if seed is None else f"late-{seed}")
def make_world(request: pytest.FixtureRequest) -> Callable[..., World]:
    def make(**options) -> World:
        return World(seed=request.param, **options)

    return make


@pytest.fixture
def world(make_world: Callable[..., World]) -> World:
    return make_world()
