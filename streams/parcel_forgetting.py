"""What forgetting a return takes out of a parcel's state.

Where a parcel carries other returns, too, the hidden name stands in the labels in place of the return's own: what the others
wait for, and how their cases are called, must not change because somebody else was erased.
"""

from collections.abc import Mapping, Sequence

from msgspec.structs import replace

from schemas.facts import LabelTerms
from streams.keys import HIDDEN
from streams.parcel import Label, ParcelState
from streams.parcel_look import OWN_KEY

FEW = 16
"""So many names are looked for in the encoded state, which costs less than to decode it."""


def may_name(raw: bytes, names: Mapping[str, str]) -> bool:
    """Whether an encoded state may name one of the returns; cheap, and never wrongly False."""
    return len(names) > FEW or any(name.encode() in raw for name in names)


def take_out(state: ParcelState, names: Mapping[str, str]) -> bool:
    """Put hidden names in place of the returns' own; False: the state has none of them."""
    told = tuple(one for one in state.told if one not in names)
    labels = tuple(_hidden(label, names) for label in state.labels)
    if told == state.told and labels == state.labels:
        return False
    state.told, state.labels = told, labels
    return True


def hidden_in(terms: LabelTerms, names: Mapping[str, str]) -> LabelTerms:
    """The same with a label on its way in."""
    return replace(terms, returns=_named(terms.returns, names))


def carries_any(state: ParcelState) -> bool:
    """Whether there is a return left that it was told to, or that a label names."""
    return any(not one.startswith(OWN_KEY) for one in state.told) or any(
        names_any(label.returns) for label in state.labels
    )


def names_any(returns: Sequence[str]) -> bool:
    """Whether one of the returns was not forgotten."""
    return any(not one.startswith(HIDDEN) for one in returns)


def _hidden(label: Label, names: Mapping[str, str]) -> Label:
    returns = _named(label.returns, names)
    return label if returns == label.returns else replace(label, returns=returns)


def _named(returns: tuple[str, ...], names: Mapping[str, str]) -> tuple[str, ...]:
    return tuple(names.get(one, one) for one in returns)
