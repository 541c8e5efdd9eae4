"""What the customer is told about a return, in English and French. A key is never used for anything else.

A template's parameters: `by` and `at` are times and shown as a date (UTC); `hours` is a number or a range, as 24-72. A key that
ends in `_undated` is said where nothing is known of the `by` of the key without it; one that ends in `_of_one` where a return has
several parcels, and at least one of them has the trouble of the key without it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

LANGUAGES: Final = ("en", "fr")
UNDATED: Final = "_undated"
OF_ONE: Final = "_of_one"
GOODS_AWAITED: Final = "_goods_awaited"
PARCELS_AWAITED: Final = "_parcels_awaited"
_TIMES: Final = frozenset({"by", "at"})
_ONE_HOUR: Final = {"en": (("1 hours", "1 hour"),), "fr": (("de 1 heures", "d'une heure"),)}
_MONTHS: Final = {
    "en": (
        *("January", "February", "March", "April", "May", "June", "July"),
        *("August", "September", "October", "November", "December"),
    ),
    "fr": (
        *("janvier", "février", "mars", "avril", "mai", "juin", "juillet"),
        *("août", "septembre", "octobre", "novembre", "décembre"),
    ),
}

MESSAGES: Final[Mapping[str, tuple[str, str]]] = {
    # -- on its ordinary way
    "pending_approval": (
        "We have received your request and will answer it soon.",
        "Nous avons bien reçu votre demande et y répondrons bientôt.",
    ),
    "approved": (
        "Your return is approved. Your label will be ready by {by}.",
        "Votre retour est accepté. Votre étiquette sera prête au plus tard le {by}.",
    ),
    "approved_undated": (
        "Your return is approved. Your label is being prepared.",
        "Votre retour est accepté. Votre étiquette est en préparation.",
    ),
    "approved_in_store": (
        "Your return is approved. Please bring the goods to one of our shops.",
        "Votre retour est accepté. Merci de rapporter les articles dans l'un de nos magasins.",
    ),
    "label_created": (
        "Your label is ready. Please hand the parcel over by {by}.",
        "Votre étiquette est prête. Merci de déposer le colis au plus tard le {by}.",
    ),
    "labels_created": (
        "Your labels are ready. Please hand the parcels over by {by}.",
        "Vos étiquettes sont prêtes. Merci de déposer les colis au plus tard le {by}.",
    ),
    "labels_created_undated": (
        "Your labels are ready. Please hand the parcels over.",
        "Vos étiquettes sont prêtes. Merci de déposer les colis.",
    ),
    "label_created_undated": (
        "Your label is ready. Please hand the parcel over.",
        "Votre étiquette est prête. Merci de déposer le colis.",
    ),
    "dropped_off": (
        "Dropped off. The first scan is expected within {hours} hours.",
        "Colis déposé. Le premier scan est attendu dans un délai de {hours} heures.",
    ),
    "dropped_off_undated": (
        "Dropped off. We are waiting for the first scan.",
        "Colis déposé. Nous attendons le premier scan.",
    ),
    "partly_dropped_off": (
        "Some of your parcels were dropped off. Please hand the others over, too.",
        "Une partie de vos colis a été déposée. Merci de déposer aussi les autres.",
    ),
    "parcels_dropped_off": (
        "Your parcels were dropped off. We are waiting for the first scans.",
        "Vos colis ont été déposés. Nous attendons les premiers scans.",
    ),
    "partly_in_transit": (
        "Some of your parcels are on their way or have arrived. The others have not been scanned yet.",
        "Une partie de vos colis est en route ou arrivée. Les autres n'ont pas encore été scannés.",
    ),
    "parcels_in_transit": (
        "Your parcels are on their way. All of them should reach us by {by}.",
        "Vos colis sont en route. Ils devraient tous nous parvenir au plus tard le {by}.",
    ),
    "parcels_in_transit_undated": ("Your parcels are on their way.", "Vos colis sont en route."),
    "partly_delivered": (
        "Some of your parcels have arrived. The others are on their way.",
        "Une partie de vos colis est arrivée. Les autres sont en route.",
    ),
    "parcels_delivered": (
        "Your parcels have arrived. Our warehouse will check them in by {by}.",
        "Vos colis sont arrivés. Notre entrepôt les enregistrera au plus tard le {by}.",
    ),
    "parcels_delivered_undated": (
        "Your parcels have arrived. Our warehouse will check them in soon.",
        "Vos colis sont arrivés. Notre entrepôt les enregistrera bientôt.",
    ),
    "in_transit": (
        "Your parcel is on its way. It should reach us by {by}.",
        "Votre colis est en route. Il devrait nous parvenir au plus tard le {by}.",
    ),
    "in_transit_undated": ("Your parcel is on its way.", "Votre colis est en route."),
    "delivered": (
        "Your parcel has arrived. Our warehouse will check it in by {by}.",
        "Votre colis est arrivé. Notre entrepôt l'enregistrera au plus tard le {by}.",
    ),
    "delivered_undated": (
        "Your parcel has arrived. Our warehouse will check it in soon.",
        "Votre colis est arrivé. Notre entrepôt l'enregistrera bientôt.",
    ),
    "checked_in": (
        "We have received your goods and will inspect them by {by}.",
        "Nous avons reçu vos articles et les contrôlerons au plus tard le {by}.",
    ),
    "checked_in_undated": (
        "We have received your goods and will inspect them soon.",
        "Nous avons reçu vos articles et les contrôlerons bientôt.",
    ),
    "inspected": (
        "Your goods were inspected. We will decide about your refund by {by}.",
        "Vos articles ont été contrôlés. Nous déciderons de votre remboursement au plus tard le {by}.",
    ),
    "inspected_undated": (
        "Your goods were inspected. We will decide about your refund soon.",
        "Vos articles ont été contrôlés. Nous déciderons bientôt de votre remboursement.",
    ),
    "inspected_for_exchange": (
        "Your goods were inspected. Your replacement comes next.",
        "Vos articles ont été contrôlés. Votre article de remplacement va suivre.",
    ),
    "inspected_for_credit": (
        "Your goods were inspected. We will decide about your store credit by {by}.",
        "Vos articles ont été contrôlés. Nous déciderons de votre avoir au plus tard le {by}.",
    ),
    "inspected_for_credit_undated": (
        "Your goods were inspected. We will decide about your store credit soon.",
        "Vos articles ont été contrôlés. Nous déciderons bientôt de votre avoir.",
    ),
    "exchange_approved": (
        "Your exchange is approved. Your replacement comes next.",
        "Votre échange est accepté. Votre article de remplacement va suivre.",
    ),
    "credit_approved": (
        "Your store credit is approved. You will have it by {by}.",
        "Votre avoir est accepté. Vous l'aurez au plus tard le {by}.",
    ),
    "credit_approved_undated": (
        "Your store credit is approved. You will have it soon.",
        "Votre avoir est accepté. Vous l'aurez bientôt.",
    ),
    "refund_approved": (
        "Your refund is approved. It will be paid by {by}.",
        "Votre remboursement est accepté. Il sera versé au plus tard le {by}.",
    ),
    "refund_approved_undated": (
        "Your refund is approved. It will be paid soon.",
        "Votre remboursement est accepté. Il sera versé bientôt.",
    ),
    # -- over
    "refund_issued": ("Your refund was paid on {at}.", "Votre remboursement a été versé le {at}."),
    "refund_issued_goods_awaited": (
        "Your refund was paid on {at}. Please hand your parcel over if you have not done so yet.",
        "Votre remboursement a été versé le {at}. Merci de déposer votre colis si ce n'est pas déjà fait.",
    ),
    "refund_issued_parcels_awaited": (
        "Your refund was paid on {at}. Please hand over the parcels that you have not sent yet.",
        "Votre remboursement a été versé le {at}. Merci de déposer les colis que vous n'avez pas encore envoyés.",
    ),
    "credit_issued_parcels_awaited": (
        "You received your store credit on {at}. Please hand over the parcels that you have not sent yet.",
        "Vous avez reçu votre avoir le {at}. Merci de déposer les colis que vous n'avez pas encore envoyés.",
    ),
    "replacement_sent_parcels_awaited": (
        "Your replacement was sent on {at}. Please hand over the parcels that you have not sent yet.",
        "Votre article de remplacement a été expédié le {at}. Merci de déposer les colis que vous n'avez pas encore envoyés.",
    ),
    "credit_issued": ("You received your store credit on {at}.", "Vous avez reçu votre avoir le {at}."),
    "credit_issued_goods_awaited": (
        "You received your store credit on {at}. Please hand your parcel over if you have not done so yet.",
        "Vous avez reçu votre avoir le {at}. Merci de déposer votre colis si ce n'est pas déjà fait.",
    ),
    "replacement_sent_goods_awaited": (
        "Your replacement was sent on {at}. Please hand your parcel over if you have not done so yet.",
        "Votre article de remplacement a été expédié le {at}. Merci de déposer votre colis si ce n'est pas déjà fait.",
    ),
    "refund_settled": (
        "Your refund reached your account on {at}.",
        "Votre remboursement est arrivé sur votre compte le {at}.",
    ),
    "replacement_sent": (
        "Your replacement was sent on {at}.",
        "Votre article de remplacement a été expédié le {at}.",
    ),
    "return_cancelled": ("Your return was cancelled.", "Votre retour a été annulé."),
    "refund_refused": (
        "Your refund was refused. Our customer service will tell you why.",
        "Votre remboursement a été refusé. Notre service client vous en dira la raison.",
    ),
    "exchange_refused": (
        "Your exchange was refused. Our customer service will tell you why.",
        "Votre échange a été refusé. Notre service client vous en dira la raison.",
    ),
    "credit_refused": (
        "Your store credit was refused. Our customer service will tell you why.",
        "Votre avoir a été refusé. Notre service client vous en dira la raison.",
    ),
    "label_voided": (
        "Your label is no longer valid. Please do not use it.",
        "Votre étiquette n'est plus valable. Merci de ne pas l'utiliser.",
    ),
    "label_voided_after_use": (
        "The label of your parcel is no longer valid. Please contact us.",
        "L'étiquette de votre colis n'est plus valable. Merci de nous contacter.",
    ),
    # -- not on its ordinary way
    "late_label": (
        "Your label is late. We are working on it.",
        "Votre étiquette a du retard. Nous nous en occupons.",
    ),
    "no_first_scan": (
        "Nobody has scanned your parcel yet. If you have handed it over, please keep your proof of drop-off.",
        "Votre colis n'a pas encore été scanné. Si vous l'avez déposé, conservez bien votre preuve de dépôt.",
    ),
    "no_first_scan_of_one": (
        "At least one of your parcels has not been scanned yet. If you have handed it over, please keep your proof of drop-off.",
        "Au moins un de vos colis n'a pas encore été scanné. Si vous l'avez déposé, conservez bien votre preuve de dépôt.",
    ),
    "pickup_failed_of_one": (
        "The carrier could not collect at least one of your parcels. Please choose another date.",
        "Le transporteur n'a pas pu enlever au moins un de vos colis. Merci de choisir une autre date.",
    ),
    "label_expired_of_one": (
        "At least one of your labels has not been used for a long time. Please ask us for another one if you need it.",
        "Au moins une de vos étiquettes est restée longtemps inutilisée. Demandez-nous-en une autre si besoin.",
    ),
    "delayed_of_one": (
        "At least one of your parcels is delayed on its way. We are asking the carrier.",
        "Au moins un de vos colis a du retard. Nous interrogeons le transporteur.",
    ),
    "sent_back_of_one": (
        "The carrier is sending at least one of your parcels back to you. Please contact us.",
        "Le transporteur vous renvoie au moins un de vos colis. Merci de nous contacter.",
    ),
    "lost_of_one": (
        "The carrier cannot find at least one of your parcels. We are taking care of it.",
        "Le transporteur ne retrouve pas au moins un de vos colis. Nous nous en occupons.",
    ),
    "disposed_of_one": (
        "The carrier reports that at least one of your parcels was destroyed. We are taking care of it.",
        "Le transporteur signale qu'au moins un de vos colis a été détruit. Nous nous en occupons.",
    ),
    "damaged_of_one": (
        "The carrier reports that at least one of your parcels is damaged. We are taking care of it.",
        "Le transporteur signale qu'au moins un de vos colis est endommagé. Nous nous en occupons.",
    ),
    "delivered_elsewhere_of_one": (
        "The carrier reports a delivery of at least one of your parcels, but not to us. We are taking care of it.",
        "Le transporteur signale qu'au moins un de vos colis a été livré, mais pas chez nous. Nous nous en occupons.",
    ),
    "searching_of_one": (
        "At least one of your parcels was delivered, and we are looking for it in our warehouse.",
        "Au moins un de vos colis a été livré, et nous le recherchons dans notre entrepôt.",
    ),
    "weight_mismatch_of_one": (
        "At least one of your parcels does not weigh what it should. We are looking into it.",
        "Au moins un de vos colis n'a pas le poids attendu. Nous vérifions.",
    ),
    "pickup_failed": (
        "The carrier could not collect your parcel. Please choose another date.",
        "Le transporteur n'a pas pu enlever votre colis. Merci de choisir une autre date.",
    ),
    "label_expired": (
        "Your label has not been used for a long time. Please ask us for another one if you need it.",
        "Votre étiquette est restée longtemps inutilisée. Demandez-nous-en une autre si besoin.",
    ),
    "delayed": (
        "Your parcel is delayed on its way. We are asking the carrier.",
        "Votre colis a du retard. Nous interrogeons le transporteur.",
    ),
    "sent_back": (
        "The carrier is sending your parcel back to you. Please contact us.",
        "Le transporteur vous renvoie votre colis. Merci de nous contacter.",
    ),
    "lost": (
        "The carrier cannot find your parcel. We are taking care of it.",
        "Le transporteur ne retrouve pas votre colis. Nous nous en occupons.",
    ),
    "disposed": (
        "The carrier reports that your parcel was destroyed. We are taking care of it.",
        "Le transporteur signale que votre colis a été détruit. Nous nous en occupons.",
    ),
    "damaged": (
        "The carrier reports that your parcel is damaged. We are taking care of it.",
        "Le transporteur signale que votre colis est endommagé. Nous nous en occupons.",
    ),
    "delivered_elsewhere": (
        "The carrier reports a delivery of your parcel, but not to us. We are taking care of it.",
        "Le transporteur signale que votre colis a été livré, mais pas chez nous. Nous nous en occupons.",
    ),
    "searching": (
        "Your parcel was delivered, and we are looking for it in our warehouse.",
        "Votre colis a été livré, et nous le recherchons dans notre entrepôt.",
    ),
    "late_inspection": (
        "The inspection of your goods takes longer than usual.",
        "Le contrôle de vos articles prend plus de temps que d'habitude.",
    ),
    "content_mismatch": (
        "The inspection of your goods left questions open. Our customer service will contact you.",
        "Le contrôle de vos articles a soulevé des questions. Notre service client vous contactera.",
    ),
    "weight_mismatch": (
        "Your parcel does not weigh what it should. We are looking into it.",
        "Votre colis n'a pas le poids attendu. Nous vérifions.",
    ),
    "late_refund": (
        "Your refund takes longer than it should. We are working on it.",
        "Votre remboursement prend plus de temps que prévu. Nous nous en occupons.",
    ),
    "refund_failed": (
        "Your refund could not be paid. We are trying another way.",
        "Votre remboursement n'a pas pu être versé. Nous essayons par un autre moyen.",
    ),
    "credit_failed": (
        "Your store credit could not be issued. We are working on it.",
        "Votre avoir n'a pas pu être émis. Nous nous en occupons.",
    ),
    "late_exchange": (
        "Your replacement takes longer than it should. We are working on it.",
        "Votre article de remplacement prend plus de temps que prévu. Nous nous en occupons.",
    ),
    "late_credit": (
        "Your store credit takes longer than it should. We are working on it.",
        "Votre avoir prend plus de temps que prévu. Nous nous en occupons.",
    ),
}
"""Key -> the template in each of LANGUAGES."""


def rendered(key: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return language -> the message. Raises KeyError for a key or a parameter that is missing."""
    texts = {}
    for language, template in zip(LANGUAGES, MESSAGES[key], strict=True):
        shown = {name: _shown(name, value, language) for name, value in parameters.items()}
        text = template.format_map(shown)
        for plural, singular in _ONE_HOUR[language] if parameters.get("hours") == "1" else ():
            text = text.replace(plural, singular)
        texts[language] = text
    return texts


def _shown(name: str, value: str, language: str) -> str:
    if name in _TIMES:
        return date_text(datetime.fromisoformat(value), language)
    return value.replace("-", " à ") if name == "hours" and language == "fr" else value


def date_text(at: datetime, language: str) -> str:
    """Return the date as people write it: `12 January 2026`, `1er janvier 2026`."""
    day = "1er" if at.day == 1 and language == "fr" else str(at.day)
    return f"{day} {_MONTHS[language][at.month - 1]} {at.year}"
