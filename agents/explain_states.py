"""What is kept about a return or a parcel, wherever it is kept: in a cluster's changelogs, or in virtual time.

A name is a return's id, or a tracking number as people write them, with or without its carrier. A parcel is explained by the
returns that it was told to, and by itself where the dock has it and no label speaks of it.
"""

import struct
from collections.abc import Collection, Iterable, Mapping, Sequence
from typing import NamedTuple, Protocol

import msgspec

from agents.errors import Finding, SubjectNotFoundError, UnreadableStateError
from schemas.outputs import utc
from schemas.vocabulary import Milestone
from streams.explaining import Known
from streams.forgetting import Hidden
from streams.intake import Stage
from streams.keys import HIDDEN, parcel_key, split_parcel_key
from streams.parcel import ParcelState, decode_parcel
from streams.parcel_look import OWN_KEY
from streams.returns import ReturnState, decode_return


class Clock(NamedTuple):
    """What a partition decides by: its watermark, and the policy in force there (a POLICY_KEY record; None: none yet)."""

    watermark_ms: int
    policy: bytes | None


class States(Protocol):
    """Where states are kept."""

    where: str
    """For a person."""

    async def read(self, stage: Stage, keys: Collection[bytes]) -> Mapping[bytes, bytes]:
        """The states of these keys, of those that have one."""
        ...

    async def numbered(self, number: str) -> Mapping[bytes, bytes]:
        """The states of the parcels with this tracking number, whoever carries them."""
        ...

    async def forgotten(self, return_id: str) -> Hidden | None:
        """Who had a return forgotten, and when; None: nobody, or so long ago that it is kept no more."""
        ...

    async def clock(self, key: bytes) -> Clock:
        """Of the partition of `returns` that a key belongs to."""
        ...


class Subject(NamedTuple):
    """What is known of one return, and what decides about it."""

    known: Known
    clock: Clock


async def find_subjects(states: States, name: str) -> list[Subject]:
    """What a person who typed `name` means.

    Raises:
        SubjectNotFoundError: nothing is known by that name, or several parcels are.
    """
    name = name.strip()
    own = await states.read("returns", [name.encode()])
    if own:
        return await _subjects(states, {name: _return(name, own[name.encode()])})
    await _refuse_forgotten(states, name)
    key, parcel = await _parcel(states, name)
    names = [*returns_of(parcel), OWN_KEY + key]
    found = await states.read("returns", [one.encode() for one in names])
    kept = {one: _return(one, found[one.encode()]) for one in names if one.encode() in found}
    return await _subjects(states, kept or {OWN_KEY + key: ReturnState()})


async def _refuse_forgotten(states: States, name: str) -> None:
    """Raises SubjectNotFoundError for a return that was forgotten."""
    record = await states.forgotten(name)
    if record is None:
        return
    at = f"{utc(record.at_ms):%Y-%m-%d %H:%M}"
    what = f"was forgotten on {at} UTC, told by {record.by} ({record.why})"
    why = "nothing is kept of it, and what comes of it is ignored"
    raise SubjectNotFoundError([Finding(name, what, why, "docs/privacy.md says what that means")])


def returns_of(parcel: ParcelState) -> list[str]:
    """The returns that a parcel was told to, and those that its labels name."""
    told = [one for one in parcel.told if not one.startswith(OWN_KEY)]
    return sorted(
        {*told, *(one for label in parcel.labels for one in label.returns if not one.startswith(HIDDEN))}
    )


def parcels_of(state: ReturnState) -> list[str]:
    """The parcels that a return's labels name, and those that reported to it."""
    labelled = [
        parcel
        for fact in state.facts
        if fact.milestone in {Milestone.LABEL_CREATED, Milestone.LABEL_VOIDED}
        for parcel in fact.parcels
    ]
    return sorted({*labelled, *(one.parcel for one in state.carried)})


async def _parcel(states: States, name: str) -> tuple[str, ParcelState]:
    carrier, number = split_parcel_key(name) if ":" in name else ("", name)
    key = parcel_key(carrier, number)
    if carrier:
        found = await states.read("parcels", [key.encode()])
    else:
        found = await states.numbered(split_parcel_key(key)[1])
    if len(found) > 1:
        keys = ", ".join(sorted(one.decode() for one in found))
        todo = "name the one you mean with its carrier"
        raise SubjectNotFoundError([Finding(name, f"is the number of several parcels: {keys}", todo=todo)])
    for one, raw in found.items():
        return one.decode(), _parcel_state(one.decode(), raw)
    why = "what is closed is forgotten in the end (policy `accept_age`, `orphan_ttl`); what never came is not there"
    todo = "check the spelling; `returnwatch cases list --state all` shows returns and parcels with cases"
    raise SubjectNotFoundError(
        [Finding(name, f"no return and no parcel of that name in {states.where}", why, todo)]
    )


async def _subjects(states: States, kept: Mapping[str, ReturnState]) -> list[Subject]:
    parcels = await _parcels(states, kept)
    subjects = []
    for name, state in kept.items():
        clock = await states.clock(name.encode())
        return_id = "" if name.startswith(OWN_KEY) else name
        mine = [name.removeprefix(OWN_KEY)] if not return_id else parcels_of(state)
        known = {key: parcels[key] for key in mine if key in parcels}
        forgotten = tuple(key for key in mine if key not in known)
        subjects.append(Subject(Known(return_id, state, known, clock.watermark_ms, forgotten), clock))
    return _without_empty(subjects)


def _without_empty(subjects: Sequence[Subject]) -> list[Subject]:
    """A parcel's own part says nothing that its returns do not say, unless it has a case of its own."""
    told = [one for one in subjects if one.known.return_id or one.known.state.cases]
    return told or list(subjects)


async def _parcels(states: States, kept: Mapping[str, ReturnState]) -> dict[str, ParcelState]:
    names: Iterable[str] = {
        parcel
        for name, state in kept.items()
        for parcel in ([name.removeprefix(OWN_KEY)] if name.startswith(OWN_KEY) else parcels_of(state))
    }
    found = await states.read("parcels", [one.encode() for one in sorted(names)])
    return {key.decode(): _parcel_state(key.decode(), raw) for key, raw in found.items()}


def _return(name: str, raw: bytes) -> ReturnState:
    try:
        return decode_return(raw)
    except msgspec.DecodeError as error:
        raise _unreadable(name.removeprefix(OWN_KEY), error) from error


def _parcel_state(name: str, raw: bytes) -> ParcelState:
    try:
        return decode_parcel(raw)
    except (msgspec.DecodeError, struct.error) as error:
        raise _unreadable(name, error) from error


def _unreadable(name: str, error: Exception) -> UnreadableStateError:
    todo = "use the version of the workers"
    return UnreadableStateError(
        [Finding(name, f"its state cannot be read by this version: {error}", todo=todo)]
    )
