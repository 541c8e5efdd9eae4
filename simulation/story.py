"""What a story is."""

from collections.abc import Callable
from dataclasses import dataclass

from schemas.vocabulary import RuleId
from simulation.journey import Journey


@dataclass(frozen=True, slots=True)
class Story:
    """Something that can happen to a request. `share`: of all requests, once all shares are taken together.

    `finds`: the rules of which each of its returns has a case, or a case taken back; `may_find`: others that depend on
    how long things took.
    """

    share: float
    play: Callable[[Journey], None]
    finds: frozenset[RuleId] = frozenset()
    may_find: frozenset[RuleId] = frozenset()

    @property
    def name(self) -> str:
        """The name of the function that tells it."""
        return self.play.__name__

    @property
    def faulty(self) -> bool:
        """Whether a case, or a case taken back, is the expected outcome."""
        return bool(self.finds)


def story(
    share: float,
    play: Callable[[Journey], None],
    *finds: RuleId,
    may_find: tuple[RuleId, ...] = (),
) -> Story:
    """A story that is told by one function."""
    return Story(share, play, frozenset(finds), frozenset(may_find))
