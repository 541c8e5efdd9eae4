"""What the customer is told about a return, in English and French. A key is never used for anything else.

A template's parameters: `by` and `at` are times and shown as a date (UTC); `hours` is a number or a range, as 24-72. A key that
ends in `_undated` is said where nothing is known of the `by` of the key without it.
"""

from collections.abc import Mapping
from datetime import datetime
from typing import Final

LANGUAGES: Final = ("en", "fr")
UNDATED: Final = "_undated"
_TIMES: Final = frozenset({"by", "at"})
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
    "label_created_undated": (
        "Your label is ready. Please hand the parcel over.",
        "Votre étiquette est prête. Merci de déposer le colis.",
    ),
    "dropped_off": (
        "Dropped off. The first scan is expected within {hours} hours.",
        "Colis déposé. Le premier scan est attendu sous {hours} heures.",
    ),
    "dropped_off_undated": (
        "Dropped off. We are waiting for the first scan.",
        "Colis déposé. Nous attendons le premier scan.",
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
    "label_voided": (
        "Your label is no longer valid. Please do not use it.",
        "Votre étiquette n'est plus valable. Merci de ne pas l'utiliser.",
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
        "The carrier is bringing your parcel back to you. Please contact us.",
        "Le transporteur vous rapporte votre colis. Merci de nous contacter.",
    ),
    "lost": (
        "The carrier cannot find your parcel. We are taking care of it.",
        "Le transporteur ne retrouve pas votre colis. Nous nous en occupons.",
    ),
    "damaged": (
        "The carrier reports that your parcel is damaged. We are taking care of it.",
        "Le transporteur signale que votre colis est endommagé. Nous nous en occupons.",
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
    "late_refund": (
        "Your refund takes longer than it should. We are working on it.",
        "Votre remboursement prend plus de temps que prévu. Nous nous en occupons.",
    ),
    "refund_failed": (
        "Your refund could not be paid. We are trying another way.",
        "Votre remboursement n'a pas pu être versé. Nous essayons autrement.",
    ),
}
"""Key -> the template in each of LANGUAGES."""


def rendered(key: str, parameters: Mapping[str, str]) -> dict[str, str]:
    """Return language -> the message. Raises KeyError for a key or a parameter that is missing."""
    templates = MESSAGES[key]
    if not parameters:
        return dict(zip(LANGUAGES, templates, strict=True))
    dates = {name: datetime.fromisoformat(value) for name, value in parameters.items() if name in _TIMES}
    texts = {}
    for language, template in zip(LANGUAGES, templates, strict=True):
        shown = {name: date_text(at, language) for name, at in dates.items()}
        texts[language] = template.format_map({**parameters, **shown})
    return texts


def date_text(at: datetime, language: str) -> str:
    """Return the date as people write it: `12 January 2026`, `1er janvier 2026`."""
    day = "1er" if at.day == 1 and language == "fr" else str(at.day)
    return f"{day} {_MONTHS[language][at.month - 1]} {at.year}"
