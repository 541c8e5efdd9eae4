"""Carriers as their own APIs and aggregators tell of them: the codes that these send at each stage, and the lanes.

They are the carriers of the demo that plays payloads (simulation/api_traffic.py). As for simulation/carriers.py a test compares
the meaning that is assumed here with the tables of `schemas/carriers/`.
"""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from simulation.carriers import COLISSIMO, DHL_EXPRESS, FEDEX, UPS, USPS, Carrier, Code, Lane
from simulation.warehouse import LEIPZIG, LILLE, LOUISVILLE

_SUIVI: Final = ("laposte_suivi_v2", "event_code")
_DPD: Final = ("dpd_geo_events", "geo_event_code")
_WORDS: Final = ("mondialrelay_web_api", "text", "")
_AFTERSHIP: Final = ("aftership_v4", "subtag")
_EASYPOST: Final = ("easypost_v2", "status_detail")
_SEVENTEEN: Final = ("17track_v2", "sub_status")
_EPCIS: Final = ("epcis_2", "biz_step")
_FORWARDER: Final = ("shipengine_v1", "status_detail_code")


UPS_ALERTS: Final = replace(UPS, announced=Code("ups_track_alert", "type M", "MP", "Shipper created a label"))
LA_POSTE_SUIVI: Final = Carrier(
    name="colissimo",
    spellings=COLISSIMO.spellings,
    announced=Code(*_SUIVI, "DR1", "Votre Colissimo va bientôt nous être confié !"),
    first_scan=(Code(*_SUIVI, "PC1", "Votre colis a été pris en charge."),),
    hub=(
        Code(*_SUIVI, "ET1", "Votre colis est en cours d'acheminement."),
        Code(*_SUIVI, "EP1", "Votre colis est arrivé sur son site de tri."),
    ),
    last_leg=Code(*_SUIVI, "MD2", "Votre colis est en cours de livraison."),
    delivered=Code(*_SUIVI, "DI1", "Votre colis est livré."),
    prefix=COLISSIMO.prefix,
    digits=COLISSIMO.digits,
    turned_back=Code(*_SUIVI, "RE1", "Votre colis est retourné à son expéditeur."),
    pickup_point=Code(*_SUIVI, "AG1", "Votre colis est disponible au point de retrait."),
)
DPD: Final = Carrier(
    name="dpd",
    spellings=("DPD", "dpd"),
    announced=Code(*_DPD, "ENA", "Order information transmitted"),
    first_scan=(Code(*_DPD, "ORI", "Picked up"), Code(*_DPD, "DOPKY", "Handed in at the parcel shop")),
    hub=(Code(*_DPD, "HUI", "In the hub"), Code(*_DPD, "HUW", "Sorted in the hub")),
    last_leg=Code(*_DPD, "DLO", "Out for delivery"),
    delivered=Code(*_DPD, "DEY", "Delivered"),
    prefix="0150",
    digits=10,
    turned_back=Code(*_DPD, "SPR", "Back to the sender"),
    attempted=Code(*_DPD, "DLR", "Not delivered"),
    pickup_point=Code(*_DPD, "DODEI", "At the parcel shop"),
)
MONDIAL_RELAY: Final = Carrier(
    name="mondial_relay",
    spellings=("Mondial Relay", "mondial_relay"),
    announced=Code(*_WORDS, "Colis en préparation chez l'expéditeur"),
    first_scan=(Code(*_WORDS, "Prise en charge"),),
    hub=(Code(*_WORDS, "Arrivé sur l'agence"), Code(*_WORDS, "Départ de l'agence")),
    last_leg=Code(*_WORDS, "Colis en route vers le point de livraison"),
    delivered=Code(*_WORDS, "Retiré par le destinataire"),
    prefix="",
    digits=8,
    turned_back=Code(*_WORDS, "Retour à l'expéditeur"),
    attempted=Code(*_WORDS, "Livraison impossible"),
    pickup_point=Code(*_WORDS, "Disponible dans votre Point Relais"),
    lost=Code(*_WORDS, "Colis perdu"),
    damaged=Code(*_WORDS, "Colis endommagé"),
)
ROYAL_MAIL_BY_AFTERSHIP: Final = Carrier(
    name="royal_mail",
    spellings=("Royal Mail", "royal-mail"),
    announced=Code(*_AFTERSHIP, "InfoReceived_001", "Sender preparing item"),
    first_scan=(Code(*_AFTERSHIP, "InTransit_002", "Accepted at a Post Office"),),
    hub=(
        Code(*_AFTERSHIP, "InTransit_003", "Item leaving the mail centre"),
        Code(*_AFTERSHIP, "InTransit_007", "Item received at the mail centre"),
    ),
    last_leg=Code(*_AFTERSHIP, "OutForDelivery_001", "Ready for delivery"),
    delivered=Code(*_AFTERSHIP, "Delivered_001", "Delivered"),
    prefix="RN",
    digits=9,
    suffix="GB",
    turned_back=Code(*_AFTERSHIP, "Exception_011", "Item on its way back"),
    customs=Code(*_AFTERSHIP, "Exception_004", "Waits for papers"),
    attempted=Code(*_AFTERSHIP, "AttemptFail_002", "Nobody there"),
    pickup_point=Code(*_AFTERSHIP, "AvailableForPickup_001", "Ready for collection"),
    lost=Code(*_AFTERSHIP, "Exception_013", "Cannot be found"),
    damaged=Code(*_AFTERSHIP, "Exception_012", "Found open"),
    elsewhere=Code(*_AFTERSHIP, "Delivered_005", "Left with somebody else"),
)
CANADA_POST_BY_EASYPOST: Final = Carrier(
    name="canada_post",
    spellings=("CanadaPost", "canada_post"),
    announced=Code(*_EASYPOST, "label_created", "Label created"),
    first_scan=(Code(*_EASYPOST, "received_at_origin_facility", "Item accepted"),),
    hub=(
        Code(*_EASYPOST, "arrived_at_facility", "Item processed"),
        Code(*_EASYPOST, "departed_facility", "Item departed"),
    ),
    last_leg=Code(*_EASYPOST, "out_for_delivery", "Item out for delivery"),
    delivered=Code(*_EASYPOST, "arrived_at_destination", "Item delivered"),
    prefix="7023",
    digits=12,
    turned_back=Code(*_EASYPOST, "return", "Item on its way back"),
    misrouted=Code(*_EASYPOST, "missorted", "Item sent the wrong way"),
    lost=Code(*_EASYPOST, "lost", "Item lost"),
    damaged=Code(*_EASYPOST, "damaged", "Item damaged"),
)
GLS_BY_17TRACK: Final = Carrier(
    name="gls",
    spellings=("GLS", "gls"),
    announced=Code(*_SEVENTEEN, "InfoReceived", "Data entered"),
    first_scan=(Code(*_SEVENTEEN, "InTransit_PickedUp", "The parcel was handed over"),),
    hub=(
        Code(*_SEVENTEEN, "InTransit_Arrival", "The parcel has reached the location"),
        Code(*_SEVENTEEN, "InTransit_Departure", "The parcel has left the location"),
    ),
    last_leg=Code(*_SEVENTEEN, "OutForDelivery_Other", "The parcel is expected today"),
    delivered=Code(*_SEVENTEEN, "Delivered_Other", "The parcel was delivered"),
    prefix="",
    digits=11,
    turned_back=Code(*_SEVENTEEN, "Exception_Returning", "The parcel goes back"),
    customs=Code(*_SEVENTEEN, "InTransit_CustomsProcessing", "The parcel is at the border"),
    attempted=Code(*_SEVENTEEN, "DeliveryFailure_NoBody", "Nobody was there"),
    damaged=Code(*_SEVENTEEN, "Exception_Damage", "The parcel was damaged"),
    lost=Code(*_SEVENTEEN, "Exception_Lost", "The parcel was not found"),
)
GS1_BY_EPCIS: Final = Carrier(
    name="gs1",
    spellings=("gs1", "GS1"),
    announced=Code(*_FORWARDER, "SHIPMENT_CREATED", "Booked"),
    first_scan=(Code(*_EPCIS, "accepting", ""),),
    hub=(Code(*_EPCIS, "arriving", ""), Code(*_EPCIS, "departing", "")),
    last_leg=Code(*_FORWARDER, "OUT_FOR_DELIVERY", "On the van"),
    delivered=Code(*_FORWARDER, "DELIVERED", "Signed for"),
    prefix="urn:epc:id:sscc:4012345.0",
    digits=9,
    pickup_failed=Code(*_FORWARDER, "PICKUP_FAILED", "Nothing to pick up"),
)
"""A forwarder that writes GS1 business steps on the way, which know no delivery; of the rest it sends the contract's events."""

API_CARRIERS: Final = (
    UPS_ALERTS,
    FEDEX,
    LA_POSTE_SUIVI,
    DHL_EXPRESS,
    USPS,
    DPD,
    MONDIAL_RELAY,
    ROYAL_MAIL_BY_AFTERSHIP,
    CANADA_POST_BY_EASYPOST,
    GLS_BY_17TRACK,
    GS1_BY_EPCIS,
)
API_LANES: Final[Sequence[tuple[float, Lane]]] = (
    (0.17, Lane(LA_POSTE_SUIVI, "FR", LILLE)),
    (0.07, Lane(MONDIAL_RELAY, "FR", LILLE)),
    (0.08, Lane(DHL_EXPRESS, "DE", LEIPZIG)),
    (0.08, Lane(DPD, "DE", LEIPZIG)),
    (0.07, Lane(UPS_ALERTS, "DE", LEIPZIG)),
    (0.06, Lane(DHL_EXPRESS, "IT", LILLE)),
    (0.05, Lane(GLS_BY_17TRACK, "ES", LILLE)),
    (0.06, Lane(ROYAL_MAIL_BY_AFTERSHIP, "GB", LILLE)),
    (0.05, Lane(GS1_BY_EPCIS, "DE", LEIPZIG)),
    (0.11, Lane(UPS_ALERTS, "US", LOUISVILLE)),
    (0.09, Lane(FEDEX, "US", LOUISVILLE)),
    (0.06, Lane(USPS, "US", LOUISVILLE)),
    (0.05, Lane(CANADA_POST_BY_EASYPOST, "CA", LOUISVILLE)),
)
"""(share of the returns, lane)"""
