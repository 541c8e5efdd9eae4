"""The words of the trade for people, in English and French. A case's own sentence, and what to do, are the log's, in English."""

from collections.abc import Mapping
from typing import Final

Both = tuple[str, str]
"""English, French."""

RULES: Final[Mapping[str, Both]] = {
    "missing_first_scan": ("Label never scanned", "Étiquette jamais scannée"),
    "dropoff_claim_unconfirmed": ("Drop-off not confirmed", "Dépôt non confirmé"),
    "pickup_failed": ("Pickup failed", "Enlèvement manqué"),
    "label_expired_unused": ("Label never used", "Étiquette jamais utilisée"),
    "stalled_silent": ("Parcel gone silent", "Colis sans nouvelles"),
    "stalled_no_progress": ("Parcel not moving on", "Colis qui n'avance plus"),
    "transit_overdue": ("Too long on its way", "Trop longtemps en route"),
    "misrouted": ("Misrouted", "Mal acheminé"),
    "delivery_failed": ("Delivery failed", "Livraison manquée"),
    "pickup_point_expiring": ("Waiting at a pickup point", "En attente en point relais"),
    "returned_to_customer": ("Sent back to the customer", "Renvoyé au client"),
    "carrier_reported_lost": ("Lost, says the carrier", "Perdu, selon le transporteur"),
    "carrier_reported_damaged": ("Damaged, says the carrier", "Endommagé, selon le transporteur"),
    "delivered_elsewhere_suspected": ("Delivered somewhere else", "Livré ailleurs"),
    "moving_after_delivery": ("Moving after delivery", "En mouvement après livraison"),
    "delivered_not_checked_in": ("Delivered, not checked in", "Livré, non enregistré"),
    "checked_in_not_delivered": ("Checked in, not delivered", "Enregistré, non livré"),
    "unexpected_parcel": ("Unexpected parcel", "Colis inattendu"),
    "late_label": ("Label is late", "Étiquette en retard"),
    "late_inspection": ("Inspection is late", "Contrôle en retard"),
    "content_mismatch": ("Wrong content", "Contenu non conforme"),
    "late_restock": ("Restocking is late", "Remise en stock en retard"),
    "late_refund_decision": ("Refund decision is late", "Décision de remboursement en retard"),
    "late_refund": ("Refund is late", "Remboursement en retard"),
    "refund_promise_at_risk": ("Refund promise at risk", "Promesse de remboursement menacée"),
    "refund_promise_broken": ("Refund promise broken", "Promesse de remboursement rompue"),
    "statutory_refund_deadline": ("Legal refund deadline", "Délai légal de remboursement"),
    "refund_failed": ("Refund failed", "Remboursement échoué"),
    "refund_not_settled": ("Refund not settled", "Remboursement non abouti"),
    "refunded_not_returned": ("Refunded, not returned", "Remboursé, non retourné"),
    "feed_silent": ("Feed is silent", "Flux silencieux"),
    "feed_lagging": ("Feed is lagging", "Flux en retard"),
    "mapping_gap": ("Codes not understood", "Codes non compris"),
    "clock_skew": ("Clock is wrong", "Horloge déréglée"),
}

REASONS: Final[Mapping[str, Both]] = {
    "due": ("the deadline has passed", "l'échéance est passée"),
    "level": ("up a level", "niveau supérieur"),
    "first_scan": ("first scan", "premier scan"),
    "progress": ("it moved on", "le colis a avancé"),
    "delivered": ("delivered", "livré"),
    "checked_in": ("checked in", "enregistré à l'entrepôt"),
    "checked_in_by_return": ("checked in by its return", "enregistré par son retour"),
    "return_cancelled": ("the return was cancelled", "retour annulé"),
    "label_voided": ("the label was voided", "étiquette annulée"),
    "unlinked": ("the parcel is not this return's", "le colis n'est pas de ce retour"),
    "late_evidence": ("late evidence", "preuve tardive"),
    "policy_changed": ("the policy was changed", "politique modifiée"),
    "expired": ("nothing more was heard", "plus aucune nouvelle"),
    "turned_back": ("turned back", "renvoyé"),
    "lost": ("lost, damaged or destroyed", "perdu, endommagé ou détruit"),
    "delivered_elsewhere": ("delivered somewhere else", "livré ailleurs"),
    "label_created": ("the label was made", "étiquette créée"),
    "inspected": ("inspected", "contrôlé"),
    "restocked": ("restocked", "remis en stock"),
    "refund_approved": ("the refund was approved", "remboursement accepté"),
    "refund_refused": ("the refund was refused", "remboursement refusé"),
    "refund_issued": ("the refund was paid", "remboursement versé"),
    "refund_settled": ("the refund has arrived", "remboursement reçu"),
    "refund_failed": ("the refund failed", "remboursement échoué"),
    "replacement_sent": ("a replacement was sent", "article de remplacement expédié"),
    "dispute_opened": ("the customer disputes it", "litige ouvert par le client"),
    "dispute_closed": ("the dispute is over", "litige clos"),
    "explained": ("another case explains it", "expliqué par un autre dossier"),
    "acknowledged": ("acknowledged", "pris en charge"),
    "snoozed": ("put off", "mis en attente"),
    "snooze_over": ("no longer put off", "fin de la mise en attente"),
    "assigned": ("assigned", "attribué"),
    "by_hand": ("closed by hand", "clos à la main"),
    "reopened": ("opened again", "rouvert"),
    "feed_recovered": ("the feed is back", "le flux est rétabli"),
    "erased": ("erased", "effacé"),
}

STATES: Final[Mapping[str, Both]] = {
    "open": ("open", "ouvert"),
    "escalated": ("escalated", "escaladé"),
    "resolved": ("resolved", "résolu"),
    "retracted": ("retracted", "retiré"),
}

SEVERITIES: Final[Mapping[str, Both]] = {
    "critical": ("critical", "critique"),
    "error": ("error", "grave"),
    "warning": ("warning", "attention"),
    "info": ("info", "info"),
}

CLOSURES: Final[Mapping[str, Both]] = {
    "found": ("Found: it is where it belongs", "Retrouvé : tout est à sa place"),
    "customer_helped": ("The customer was helped", "Le client a été dépanné"),
    "claimed": ("Claimed from the carrier", "Réclamation au transporteur"),
    "written_off": ("Written off", "Passé en perte"),
    "tracked_elsewhere": ("Goes on in another ticket", "Suivi dans un autre ticket"),
    "false_alarm": ("False alarm", "Fausse alerte"),
    "other": ("Something else", "Autre"),
}

ANSWERS: Final[Mapping[str, Both]] = {
    "done": ("Done.", "C'est fait."),
    "already_so": ("It was so already.", "C'était déjà le cas."),
    "unknown_case": ("Refused: this case is not known any more.", "Refusé : ce dossier n'est plus connu."),
    "case_closed": ("Refused: the case is closed.", "Refusé : le dossier est clos."),
    "not_closed_by_hand": ("Refused: it was not closed by hand.", "Refusé : il n'a pas été clos à la main."),
    "breach_over": ("Refused: what was missing has happened.", "Refusé : ce qui manquait est arrivé."),
    "until_passed": ("Refused: that time has passed.", "Refusé : cette heure est passée."),
    "until_too_far": ("Refused: that is too far ahead.", "Refusé : c'est trop loin."),
    "too_old": ("Refused: it came too late.", "Refusé : trop tard."),
    "too_many": ("Refused: too many commands about this case.", "Refusé : trop de commandes sur ce dossier."),
    "id_reused": ("Refused: another command has this id.", "Refusé : une autre commande a cet identifiant."),
    "nothing_known": ("Nothing was known of it.", "Rien n'en était connu."),
    "forgotten": ("Refused: the return was forgotten.", "Refusé : ce retour a été effacé."),
}

COMMANDS: Final[Mapping[str, Both]] = {
    "acknowledge": ("Acknowledge", "Prendre en charge"),
    "snooze": ("Put off", "Mettre en attente"),
    "assign": ("Assign", "Attribuer"),
    "note": ("Note", "Note"),
    "resolve": ("Close", "Clore"),
    "reopen": ("Open again", "Rouvrir"),
}

MILESTONES: Final[Mapping[str, Both]] = {
    "return_requested": ("Requested", "Demandé"),
    "return_approved": ("Approved", "Accepté"),
    "label_created": ("Label made", "Étiquette créée"),
    "dropped_off": ("Dropped off", "Déposé"),
    "in_transit": ("On its way", "En route"),
    "delivered": ("Delivered", "Livré"),
    "checked_in": ("Checked in", "Enregistré"),
    "inspected": ("Inspected", "Contrôlé"),
    "refunded": ("Refunded", "Remboursé"),
}

STEPS: Final[Mapping[str, Both]] = {
    **{step: words for step, words in MILESTONES.items() if step not in {"return_requested", "refunded"}},
    "refund_approved": ("Refund approved", "Remboursement accepté"),
    "refund_issued": ("Refund paid", "Remboursement versé"),
    "refund_settled": ("Refund arrived", "Remboursement reçu"),
    "replacement_sent": ("Replacement sent", "Remplacement expédié"),
}

STATUSES: Final[Mapping[str, Both]] = {
    "pending_approval": ("Waiting for approval", "En attente d'accord"),
    "approved": ("Approved", "Accepté"),
    "shipped": ("Shipped", "Expédié"),
    "received": ("Received", "Reçu"),
    "refunded": ("Refunded", "Remboursé"),
    "closed": ("Closed", "Clos"),
}

WITNESSES: Final[Mapping[str, Both]] = {
    "announced": ("announced", "annoncé"),
    "claimed": ("the customer says so", "selon le client"),
    "carrier_scan": ("carrier scan", "scan du transporteur"),
    "warehouse_scan": ("warehouse scan", "scan de l'entrepôt"),
    "warehouse_match": ("matched by the warehouse", "rapproché par l'entrepôt"),
    "system": ("the shop's systems", "systèmes de la boutique"),
}

LEGS: Final[Mapping[str, Both]] = {
    "request_to_label": ("Request to label", "Demande → étiquette"),
    "label_to_first_scan": ("Label to first scan", "Étiquette → premier scan"),
    "first_scan_to_delivered": ("First scan to delivery", "Premier scan → livraison"),
    "delivered_to_received": ("Delivery to check-in", "Livraison → enregistrement"),
    "received_to_inspected": ("Check-in to inspection", "Enregistrement → contrôle"),
    "inspected_to_restocked": ("Inspection to restocking", "Contrôle → remise en stock"),
    "inspected_to_refund": ("Inspection to refund", "Contrôle → remboursement"),
    "approved_to_refund": ("Approval to refund", "Accord → remboursement"),
    "request_to_refund": ("Request to refund", "Demande → remboursement"),
    "request_to_replacement": ("Request to replacement", "Demande → remplacement"),
}

LETTER_REASONS: Final[Mapping[str, Both]] = {
    "null_value": ("No value", "Sans valeur"),
    "too_large": ("Too large", "Trop volumineux"),
    "wrong_encoding": ("Wrong encoding", "Mauvais encodage"),
    "not_json": ("Not JSON", "Pas du JSON"),
    "too_deep": ("Nested too deeply", "Imbrication trop profonde"),
    "not_an_object": ("Not an object", "Pas un objet"),
    "not_finite": ("A number that is none", "Nombre non fini"),
    "bad_envelope": ("Bad envelope", "Enveloppe incorrecte"),
    "unknown_type": ("Unknown type", "Type inconnu"),
    "wrong_topic": ("Wrong topic", "Mauvais topic"),
    "missing_field": ("Missing field", "Champ manquant"),
    "wrong_type": ("Wrong type of a field", "Champ de mauvais type"),
    "bad_value": ("Bad value", "Valeur incorrecte"),
    "time_out_of_range": ("Time out of range", "Heure hors limites"),
    "not_xml": ("Not XML", "Pas du XML"),
    "unknown_shape": ("Unknown shape", "Forme inconnue"),
    "too_many": ("Too many events", "Trop d'événements"),
    "unknown_schema_id": ("Unknown schema", "Schéma inconnu"),
    "schema_registry_unavailable": ("Schema registry away", "Registre de schémas absent"),
    "bad_schema": ("Bad schema", "Schéma incorrect"),
    "schema_mismatch": ("Not as its schema says", "Non conforme à son schéma"),
}

OUTCOMES: Final[Mapping[str, Both]] = {
    "": ("waiting", "en attente"),
    "redriven": ("sent back", "renvoyé"),
    "discarded": ("discarded", "écarté"),
}

DIMENSIONS: Final[Mapping[str, Both]] = {
    "all": ("All returns", "Tous les retours"),
    "carrier": ("By carrier", "Par transporteur"),
    "lane": ("By lane", "Par liaison"),
    "facility": ("By facility", "Par entrepôt"),
    "reason": ("By reason", "Par motif"),
    "category": ("By category", "Par catégorie"),
}

FEEDS: Final[Mapping[str, Both]] = {
    "orders": ("Orders", "Commandes"),
    "labels": ("Labels", "Étiquettes"),
    "warehouse": ("Warehouse", "Entrepôt"),
    "other": ("Other carriers", "Autres transporteurs"),
}

TABLES: Final[Mapping[str, Mapping[str, Both]]] = {
    "rule": RULES,
    "reason": REASONS,
    "state": STATES,
    "severity": SEVERITIES,
    "closure": CLOSURES,
    "answer": ANSWERS,
    "command": COMMANDS,
    "milestone": MILESTONES,
    "step": STEPS,
    "status": STATUSES,
    "witness": WITNESSES,
    "leg": LEGS,
    "letter": LETTER_REASONS,
    "outcome": OUTCOMES,
    "dimension": DIMENSIONS,
}
