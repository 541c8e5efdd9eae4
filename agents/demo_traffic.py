"""What the demo plays, and what is decided by: the shop's month, in the contract's events or as its carriers' APIs tell it."""

from typing import Any, NamedTuple

from agents.demo_options import DemoOptions
from schemas.policy import Policy
from schemas.policy_loading import default_policy
from simulation.api_carriers import API_CARRIERS, API_LANES
from simulation.api_shapes import SHAPES
from simulation.api_traffic import Sending, by_apis, native
from simulation.feed_story import feeds_for_policy
from simulation.warehouse import policy_of_this_world
from simulation.world import World


class DemoTraffic(NamedTuple):
    """The world, its records, and the policy of worker and judge. `apis`: the adapters of the topics beside the contract's."""

    world: World
    sendings: list[Sending]
    policy: Policy
    apis: tuple[str, ...] = ()

    @property
    def scans_topics(self) -> tuple[str, ...]:
        """The contract's, and one for each API."""
        return ("carrier-scans", *map(topic_of, self.apis))

    @property
    def scans_adapters(self) -> tuple[str, ...]:
        """As settings name them."""
        return tuple(f"{topic_of(api)}={api}" for api in self.apis)


def traffic_of(options: DemoOptions) -> DemoTraffic:
    """Make the world that was asked for."""
    if not options.carriers:
        world = World(options.seed, options.returns, days=options.days, feeds=True)
        return DemoTraffic(world, native(world.events), _policy(feeds_for_policy()))
    world = World(options.seed, options.returns, days=options.days, feeds=True, lanes=API_LANES)
    sendings = by_apis(world.events, world.until_at)
    apis = tuple(shape.adapter for shape in SHAPES)
    return DemoTraffic(world, sendings, _policy(feeds_for_policy(API_CARRIERS)), apis)


def topic_of(api: str) -> str:
    """Where the payloads of an API are played to."""
    return f"scans-{api}"


def _policy(feeds: dict[str, Any]) -> Policy:
    return policy_of_this_world(default_policy(), feeds)
