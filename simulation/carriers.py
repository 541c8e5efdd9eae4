"""Carriers of the simulated world: their codes as their interfaces publish them, their lanes and hubs.

Every code stands in the published lists that the carrier code tables of `schemas/carriers/` name as their sources;
a test compares the meaning assumed here with those tables.
"""

import random
from dataclasses import dataclass
from typing import Final

from simulation.warehouse import LEIPZIG, LILLE, LOUISVILLE, Facility


@dataclass(frozen=True, slots=True)
class Code:
    """One code of one interface of a carrier, with the wording that comes with it."""

    api: str
    code_type: str
    code: str
    text: str


@dataclass(frozen=True, slots=True)
class Carrier:
    """A carrier: how producers spell its name, which codes it sends at which stage, how its numbers look.

    From `turned_back` on: None where its interface has no code for that.
    """

    name: str
    spellings: tuple[str, ...]
    announced: Code
    first_scan: tuple[Code, ...]
    hub: tuple[Code, ...]
    last_leg: Code
    delivered: Code
    prefix: str
    digits: int
    suffix: str = ""
    turned_back: Code | None = None
    pickup_failed: Code | None = None
    customs: Code | None = None
    misrouted: Code | None = None
    attempted: Code | None = None
    pickup_point: Code | None = None
    lost: Code | None = None
    """Lost, or disposed of."""
    damaged: Code | None = None
    elsewhere: Code | None = None
    """Delivered to somebody else."""

    def tracking_number(self, rng: random.Random, serial: int) -> str:
        """A number of this carrier's look; `serial` makes it unique within a world."""
        body = f"{rng.randrange(10 ** (self.digits - 7)):0{self.digits - 7}d}{serial:07d}"
        return f"{self.prefix}{body}{self.suffix}"


def _codes(api: str, code_type: str, *pairs: tuple[str, str]) -> tuple[Code, ...]:
    return tuple(Code(api, code_type, code, text) for code, text in pairs)


_FEDEX = ("fedex_rest_track_v1", "status_code")
_COLISSIMO = ("colissimo_tracking_soap", "event_code")
_DHL = ("dhl_xmlpi_track", "checkpoint")
_USPS = ("usps_webtools_track", "event_code")

UPS: Final = Carrier(
    name="ups",
    spellings=("UPS", "ups"),
    announced=Code("ups_track_alert", "status_type", "M", "Shipper created a label"),
    first_scan=_codes("ups_track_alert", "type I", ("OR", "Origin Scan")),
    hub=_codes("ups_track_alert", "type I", ("AR", "Arrived at Facility"), ("DP", "Departed from Facility")),
    last_leg=Code("ups_track_alert", "type I", "OT", "Out for Delivery"),
    delivered=Code("ups_track_alert", "type D", "FS", "DELIVERED"),
    prefix="1Z",
    digits=16,
)
FEDEX: Final = Carrier(
    name="fedex",
    spellings=("FedEx", "fedex", "FEDEX"),
    announced=Code(*_FEDEX, "OC", "Shipment information sent to FedEx"),
    first_scan=_codes(*_FEDEX, ("PU", "Picked up")),
    hub=_codes(*_FEDEX, ("AR", "Arrived at FedEx location"), ("DP", "Departed FedEx location")),
    last_leg=Code(*_FEDEX, "OD", "On FedEx vehicle for delivery"),
    delivered=Code(*_FEDEX, "DL", "Delivered"),
    prefix="",
    digits=12,
    turned_back=Code(*_FEDEX, "RS", "Return to shipper"),
    pickup_failed=Code(*_FEDEX, "PD", "Pickup delay"),
    customs=Code(*_FEDEX, "CD", "Clearance delay"),
    pickup_point=Code(*_FEDEX, "HL", "Ready for recipient pickup"),
)
COLISSIMO: Final = Carrier(
    name="colissimo",
    spellings=("colissimo", "Colissimo"),
    announced=Code(*_COLISSIMO, "COMCFM", "Prêt à être expédié, pas encore pris en charge par La Poste"),
    first_scan=_codes(*_COLISSIMO, ("DEPGUI", "Votre colis a été déposé dans un point postal.")),
    hub=_codes(
        *_COLISSIMO,
        ("PCHCFM", "Votre colis est en cours d'acheminement."),
        ("AARTRA", "Votre colis est en cours d'acheminement."),
    ),
    last_leg=Code(*_COLISSIMO, "AARCFM", "Votre colis est arrivé sur son site de distribution"),
    delivered=Code(*_COLISSIMO, "LIVCFM", "Votre colis est livré."),
    prefix="8R",
    digits=11,
    turned_back=Code(*_COLISSIMO, "FENRET", "Votre colis est retourné à l'expéditeur."),
    pickup_failed=Code(*_COLISSIMO, "ENEDAF", "Votre colis n'a pas pu être collecté."),
    misrouted=Code(*_COLISSIMO, "AARDVY", "Votre colis a été dévoyé."),
    attempted=Code(*_COLISSIMO, "RDVABS", "Le destinataire était absent."),
    pickup_point=Code(*_COLISSIMO, "AARREL", "Votre colis est disponible dans votre point de retrait."),
    damaged=Code(*_COLISSIMO, "RENDET", "Votre colis est endommagé."),
    elsewhere=Code(*_COLISSIMO, "LIVVOI", "Votre colis a été remis à un voisin."),
)
DHL_EXPRESS: Final = Carrier(
    name="dhl_express",
    spellings=("dhl_express", "DHL_EXPRESS"),
    announced=Code(*_DHL, "SD", "Shipment information received"),
    first_scan=_codes(*_DHL, ("PU", "Shipment picked up")),
    hub=_codes(*_DHL, ("AF", "Arrived facility"), ("DF", "Depart facility"), ("PL", "Processed at location")),
    last_leg=Code(*_DHL, "WC", "With delivering courier"),
    delivered=Code(*_DHL, "OK", "Delivery"),
    prefix="JD01",
    digits=14,
    turned_back=Code(*_DHL, "RT", "Returned to consignor"),
    customs=Code(*_DHL, "CD", "Clearance delay"),
    misrouted=Code(*_DHL, "MS", "Mis-sorted"),
    attempted=Code(*_DHL, "NH", "Not home"),
    pickup_point=Code(*_DHL, "CC", "Awaiting consignee collection"),
    lost=Code(*_DHL, "DS", "Disposed"),
    damaged=Code(*_DHL, "DM", "Damaged"),
)
USPS: Final = Carrier(
    name="usps",
    spellings=("USPS", "usps"),
    announced=Code(*_USPS, "MA", "Shipping label created"),
    first_scan=_codes(*_USPS, ("03", "Accept or pickup")),
    hub=_codes(*_USPS, ("10", "Processed"), ("07", "Arrival at unit")),
    last_leg=Code(*_USPS, "OF", "Out for delivery"),
    delivered=Code(*_USPS, "01", "Delivered"),
    prefix="9402",
    digits=18,
    turned_back=Code(*_USPS, "09", "Return to sender"),
    attempted=Code(*_USPS, "02", "Notice left"),
    pickup_point=Code(*_USPS, "14", "Arrival at pick-up point"),
    lost=Code(*_USPS, "11", "Missing"),
)
CARRIERS: Final = (UPS, FEDEX, COLISSIMO, DHL_EXPRESS, USPS)

UNKNOWN_CODES: Final = ("ZZ9", "Q-17", "EVT_REROUTE_42")
"""Codes of no published list: they prove nothing."""

_HUBS: Final = {
    "FR": ("Rouen", "Orléans", "Dijon", "Lyon", "Gennevilliers", "Reims", "Amiens", "Arras"),
    "DE": ("Hannover", "Kassel", "Nürnberg", "Erfurt", "Dresden", "Magdeburg", "Halle", "Gera"),
    "IT": ("Bologna", "Milano", "Torino", "Verona"),
    "ES": ("Zaragoza", "Madrid", "Vitoria", "Barcelona"),
    "GB": ("London", "Birmingham", "Coventry", "Dover"),
    "US": ("Dallas", "Memphis", "Atlanta", "Columbus", "Nashville", "Cincinnati", "Lexington", "Evansville"),
    "CA": ("Toronto", "Montréal", "Hamilton", "Windsor"),
}


@dataclass(frozen=True, slots=True)
class Lane:
    """Where a parcel comes from, who carries it and which facility it goes to."""

    carrier: Carrier
    origin: str
    facility: Facility

    @property
    def international(self) -> bool:
        """True when origin and destination are in different countries."""
        return self.origin != self.facility.country

    def stops(self) -> list[dict[str, str]]:
        """The places along the way, in order, each another city; at least seven, the last one near the facility."""
        home = [(self.origin, city) for city in _HUBS[self.origin]]
        away = [(self.facility.country, city) for city in _HUBS[self.facility.country]]
        route = home[:3] + away if self.international else home
        return [
            {"country": country, "city": city, "site": f"{city[:3].upper()}-HUB"} for country, city in route
        ]


LANES: Final = (
    (0.25, Lane(COLISSIMO, "FR", LILLE)),
    (0.15, Lane(DHL_EXPRESS, "DE", LEIPZIG)),
    (0.07, Lane(UPS, "DE", LEIPZIG)),
    (0.06, Lane(DHL_EXPRESS, "IT", LILLE)),
    (0.05, Lane(DHL_EXPRESS, "ES", LILLE)),
    (0.04, Lane(DHL_EXPRESS, "GB", LILLE)),
    (0.17, Lane(UPS, "US", LOUISVILLE)),
    (0.11, Lane(FEDEX, "US", LOUISVILLE)),
    (0.06, Lane(USPS, "US", LOUISVILLE)),
    (0.04, Lane(FEDEX, "CA", LOUISVILLE)),
)
"""(share of the returns, lane)"""
