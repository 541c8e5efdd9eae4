"""What can happen to a return: all stories, with their shares of all requests.

Every decisive time lies at least `margins.MARGIN` before or after the deadline that it decides about, so that neither a
feed's ordinary lateness nor the speed at which a simulation is played can change the outcome. The exceptions are
the ordinary check-in, decision and payment, which have to come within one business day: they come within hours, or
in the first hours of the next working day, and so at least 19 hours before their deadlines. Budgets are those of the
default policy.
"""

from typing import Final

from simulation.stories_dock import DOCK
from simulation.stories_hand_over import HAND_OVER
from simulation.stories_money import MONEY
from simulation.stories_ordinary import ORDINARY
from simulation.stories_shop import SHOP
from simulation.stories_transit import TRANSIT
from simulation.story import Story

STORIES: Final[tuple[Story, ...]] = (*ORDINARY, *HAND_OVER, *TRANSIT, *DOCK, *SHOP, *MONEY)
"""Shares need not add up to 1: what counts is how large they are among each other."""
