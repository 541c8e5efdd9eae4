"""Codes that the tables did not understand, counted: which, how often, at how many parcels, and in which words.

Bounded however long the log is, and it keeps no personal data: a text is shown only in part, only when it is worded like a
carrier's status, and only when it came with several parcels (docs/carriers.md). Pure.
"""

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from schemas.carrier_codes import CarrierCodes
from schemas.carrier_tables import ANY_CARRIER, CodeRow

LEAST_PARCELS: Final = 5
"""Of a text that is shown: what only one customer's parcel came with may be about that customer."""
MOST_PARCELS: Final = 100
"""Counted of each code; more are `100+`."""
NOT_SHOWN: Final = "…"
"""In the place of a code that is a text, or a number of a parcel."""
_MOST_GAPS = 2_000
_MOST_TEXTS = 50
_MOST_CARRIERS = 500
_MOST_CODE_CHARS = 64
_MOST_DIGITS = 6
_CLAUSE = re.compile(r"(\s+-\s+|[,;:.()/|]\s*)")
_WORD = re.compile(r"[^\W\d_]+")
_BEFORE_PEOPLE = frozenset(
    {
        *("by", "with", "to", "from", "name", "signed", "signee", "recipient", "mr", "mrs", "ms", "mme"),
        *("herr", "frau", "par", "von", "durch", "bei", "an", "al", "por", "a", "à", "da"),
        *("dal", "aan", "door", "av", "af"),
    }
)
"""What stands behind them may be somebody's name."""


_IN_STATUSES = """
    a the to of in on at is was has been be your our its it we you for and or not no with by from will out up as
    have had arrival arrived arrives accepted acceptance available collected collection container customs cleared
    clearance carrier courier country damaged delay delayed deliver delivered delivery depart departed departure
    depot destination dispatched driver en export facility failed flight forwarded handed handling held hub import
    information item label loaded local location locker lost made mail missed moved network office order origin
    package parcel partner pickup picked point post postal processed processing ready received recipient refused
    registered released return returned route scan scanned sender sent service shipment shipped shop sorted
    sorting station status stored terminal tracking transfer transferred transit transport truck unable
    undeliverable unloaded unsuccessful update vehicle waiting warehouse weather ups usps dhl dpd gls fedex hermes
    evri colissimo chronopost postnl postnord inpost die der das dem den ein eine sendung paket wurde wird ist im
    zur zum auf ab an abgeholt angekommen ankunft abfahrt zustellung zugestellt zusteller bearbeitet eingeliefert
    empfangen filiale fahrzeug geladen paketzentrum paketshop retoure sortiert unterwegs verladen weitergeleitet
    zentrum zoll le la les un une votre colis est du de des au aux sur livraison livreur arrivée départ pris prise
    charge distribution distribué expédié expédition remis retour site tri traitement plateforme relais douane het
    een pakket zending bezorgd bezorging onderweg gesorteerd ontvangen afgeleverd vervoerder su el envío paquete
    entregado entrega reparto recibido salida llegada tránsito il pacco spedizione consegna consegnato partito
    arrivato
"""
_STATUS_WORDS = frozenset(_IN_STATUSES.split())
"""Of carriers' statuses in several languages; capital letters make any other word a name."""


class NotUnderstood(NamedTuple):
    """A scan whose code proves nothing because no row tells what it means."""

    parcel: str
    """Its key."""
    carrier: str
    """Whose tables were asked."""
    codes: tuple[tuple[str, str, str], ...]
    """(api, code type, code), in the order in which they were asked; no code: the text was."""
    text: str
    direction: str


class Asked(NamedTuple):
    """The row that is missing."""

    carrier: str
    api: str
    code_type: str
    code: str
    direction: str
    by_text: bool
    """The code is there, or there is none: only the words can tell."""


@dataclass(slots=True)
class Words:
    """A text, as far as it may be shown."""

    shown: str
    cut: bool
    """Something stands behind what is shown."""
    scans: int = 0
    parcels: set[int] = field(default_factory=set)

    @property
    def pattern(self) -> str:
        """A text pattern that finds it."""
        words = r"\s+".join(re.escape(word) for word in self.shown.split())
        if not self.cut:
            return f"^{words}$"
        return f"^{words}" + (r"\b" if self.shown[-1].isalnum() else "")


@dataclass(slots=True)
class Gap:
    """What came of one missing row."""

    asked: Asked
    first_ms: int
    last_ms: int
    example: str
    """Where the newest lies: `topic/partition@offset`, or which record of the files it is."""
    scans: int = 0
    parcels: set[int] = field(default_factory=set)
    texts: dict[str, Words] = field(default_factory=dict)
    unshown: int = 0
    """Scans whose text is not shown."""

    def told(self) -> list[Words]:
        """The texts that enough parcels came with, the most frequent first."""
        enough = [text for text in self.texts.values() if len(text.parcels) >= LEAST_PARCELS]
        return sorted(enough, key=lambda text: (-text.scans, text.shown))


class CarrierTraffic(NamedTuple):
    """How much of a carrier's scans was understood."""

    carrier: str
    scans: int
    not_understood: int


class GapCount:
    """Folds scans into gaps. `codes`: the tables that were asked."""

    def __init__(self, codes: CarrierCodes) -> None:
        self._codes = codes
        self._known_words = _words_of(codes.rows)
        self._rows: dict[tuple[str, str, str, str], list[CodeRow]] = {}
        for row in codes.rows:
            self._rows.setdefault(row.key, []).append(row)
        self._gaps: dict[Asked, Gap] = {}
        self._traffic: dict[str, list[int]] = {}
        self.left_out = 0
        """Scans of codes beyond those that are counted one by one."""
        self.without_code = 0
        """Scans with neither a code nor a text."""

    def add_scans(self, carrier: str, count: int) -> None:
        """Count scans of a carrier, whether or not they were understood."""
        self._counts_of(carrier)[0] += count

    def add(self, gap: NotUnderstood, at_ms: int, example: str) -> None:
        """Count a scan that was not understood."""
        self._counts_of(gap.parcel.partition(":")[0])[1] += 1
        asked = self._asked(gap)
        if asked is None:
            self.without_code += 1
            return
        known = self._gaps.get(asked)
        if known is None:
            if len(self._gaps) >= _MOST_GAPS:
                self.left_out += 1
                return
            known = self._gaps[asked] = Gap(asked, at_ms, at_ms, example)
        known.scans += 1
        known.first_ms = min(known.first_ms, at_ms)
        if at_ms >= known.last_ms:
            known.last_ms, known.example = at_ms, example
        parcel = hash(gap.parcel)
        if len(known.parcels) < MOST_PARCELS:
            known.parcels.add(parcel)
        if gap.text:
            self._add_text(known, gap.text, parcel)

    def gaps(self) -> list[Gap]:
        """What was not understood, the most frequent first."""
        return sorted(self._gaps.values(), key=lambda gap: (-gap.scans, gap.asked))

    def traffic(self) -> list[CarrierTraffic]:
        """Every carrier, that with most scans that were not understood first."""
        told = (CarrierTraffic(carrier, *counts) for carrier, counts in self._traffic.items())
        return sorted(told, key=lambda one: (-one.not_understood, one.carrier))

    def ours_beside(self, asked: Asked) -> list[CodeRow]:
        """Our rows that a row of the user's for this code and direction would take the place of, if they say something."""
        key = (asked.carrier, asked.api.casefold(), asked.code_type.casefold(), asked.code.casefold())
        return [
            row
            for row in self._rows.get(key, [])
            if row.direction == asked.direction and row.text_pattern and not row.own
        ]

    def _counts_of(self, carrier: str) -> list[int]:
        if carrier not in self._traffic and len(self._traffic) >= _MOST_CARRIERS:
            carrier = "other"
        return self._traffic.setdefault(carrier, [0, 0])

    def _asked(self, gap: NotUnderstood) -> Asked | None:
        """The row that would have made it understood: of its code if no row has the code, else of its words."""
        by_text: list[tuple[bool, int, Asked]] = []
        for place, (said_api, said_type, said_code) in enumerate(gap.codes):
            api = said_api.strip() or self._codes.default_api(gap.carrier)
            code_type = said_type.strip() or self._codes.default_code_type(gap.carrier, api)
            code = said_code.strip()
            asked = Asked(gap.carrier, api, code_type, code, gap.direction, by_text=True)
            own, of_any = (
                self._rows.get((owner, api.casefold(), code_type.casefold(), code.casefold()))
                for owner in (gap.carrier, ANY_CARRIER)
            )
            if code and not own and not of_any:
                return asked._replace(code=code if self._is_plain(code) else NOT_SHOWN, by_text=False)
            if gap.text.strip():
                by_text.append((bool(own), place, asked))
        return min(by_text)[2] if by_text else None

    def _is_plain(self, code: str) -> bool:
        """Whether it is a code and no text in its place, which may be about somebody."""
        if len(code) > _MOST_CODE_CHARS or not code.isprintable() or "@" in code:
            return False
        if sum(letter.isdigit() for letter in code) > _MOST_DIGITS:
            return False
        return " " not in code or self._as_shown(code) == (code, False)

    def _add_text(self, gap: Gap, text: str, parcel: int) -> None:
        shown, cut = self._as_shown(text)
        if not shown:
            gap.unshown += 1
            return
        words = gap.texts.get(shown.casefold())
        if words is None:
            if len(gap.texts) >= _MOST_TEXTS:
                gap.texts = {key: one for key, one in gap.texts.items() if one.scans > 1}
            if len(gap.texts) >= _MOST_TEXTS:
                gap.unshown += 1
                return
            words = gap.texts[shown.casefold()] = Words(shown, cut)
        words.scans += 1
        words.cut = words.cut or cut
        if len(words.parcels) < LEAST_PARCELS:
            words.parcels.add(parcel)

    def _as_shown(self, text: str) -> tuple[str, bool]:
        """As much from the start of a text as is worded like a status, and whether something stands behind it."""
        whole = " ".join(text.split())
        kept = ""
        parts = _CLAUSE.split(whole)
        for place in range(0, len(parts), 2):
            clause = parts[place]
            before = parts[place - 1] if place else ""
            if not clause:
                continue
            said, ended = self._as_worded(clause)
            if not said:
                return kept, True
            kept += before + said
            if ended:
                return kept, True
        return kept, len(kept) < len(whole.rstrip(" .,;:"))

    def _as_worded(self, clause: str) -> tuple[str, bool]:
        """As much of a clause as a status may say, and whether it is not all of it; "" if no word of it is a carrier's."""
        words = clause.split(" ")
        for place, word in enumerate(words):
            if any(letter.isdigit() for letter in word) or "@" in word or not word.isprintable():
                return self._if_known(words[:place]), True
            if not word.islower() and not all(map(self._is_known, _WORD.findall(word))):
                return self._if_known(words[:place]), True
            if word.casefold() in _BEFORE_PEOPLE and place + 1 < len(words):
                return self._if_known(words[: place + 1]), True
        return self._if_known(words), False

    def _if_known(self, words: list[str]) -> str:
        text = " ".join(words)
        return text if any(map(self._is_known, _WORD.findall(text))) else ""

    def _is_known(self, word: str) -> bool:
        folded = word.casefold()
        return folded in _STATUS_WORDS or (len(folded) > 3 and folded.startswith(self._known_words))


def _words_of(rows: Iterable[CodeRow]) -> tuple[str, ...]:
    """The words that carriers' texts are made of: those that the tables look for."""

    def found() -> Iterator[str]:
        for row in rows:
            if row.text_pattern and not row.own:
                plain = re.sub(r"\\.", " ", row.text_pattern)
                yield from (word.casefold() for word in _WORD.findall(plain) if len(word) > 3)

    return tuple(sorted(set(found())))
