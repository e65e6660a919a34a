"""The judge."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tests.simulation.world import World


def check(world: "World") -> list[tuple[float, str]]:
    """Everything that went wrong in a world, by time."""
    return sorted(world.history.violations)
