"""The last word on a return does not depend on the order or the number of times that anything is told."""

from hypothesis import given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from schemas.facts import ParcelFact, ReturnFact
from schemas.outputs import utc
from schemas.return_journeys import ReturnJourney, decode_journey
from tests.property.parcel_lives import facts, return_facts
from tests.stages import DAY, HOUR, Shop, label_fact

Told = tuple[str, ParcelFact | ReturnFact]
PARCELS = ("ups:1", "ups:2")


@st.composite
def lives(draw: st.DrawFn) -> list[Told]:
    """Labels of a return's parcels, what was seen of them, and what shop and warehouse say."""
    labels: list[Told] = [
        (parcel, label_fact(draw(st.integers(0, 12)) * 6 * HOUR, "R1")) for parcel in PARCELS
    ]
    seen: list[Told] = draw(st.lists(st.tuples(st.sampled_from(PARCELS), facts(identities=20)), max_size=8))
    said: list[Told] = [("R1", fact) for fact in draw(st.lists(return_facts(), max_size=5))]
    return [*labels, *seen, *said]


def last_word(told: list[Told]) -> ReturnJourney | None:
    """All but the number, the last scans, which are as old as the last report, and what was newest when it was told."""
    shop = Shop()
    for about, fact in told:
        if isinstance(fact, ParcelFact):
            shop.parcel_fact(about, fact)
        else:
            shop.return_fact(about, fact)
    shop.reach(60 * DAY)
    said = [out for out in shop.returns.said if out.topic == "journeys" and out.key == b"R1"]
    if not said:
        return None
    journey = decode_journey(said[-1].value or b"")
    parcels = tuple(replace(parcel, last_scan_at=None) for parcel in journey.parcels)
    return replace(journey, revision=1, parcels=parcels, effective_at=utc(0))


@settings(max_examples=60, deadline=None)
@given(st.data(), lives())
def test_the_last_word_on_a_return_is_the_same_in_any_order(data: st.DataObject, told: list[Told]) -> None:
    repeated = told + data.draw(st.lists(st.sampled_from(told), max_size=4), label="repeated")
    assert last_word(data.draw(st.permutations(repeated), label="order")) == last_word(told)
