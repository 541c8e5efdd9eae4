"""Why a record is not an event, and what its producer can do about it."""

from typing import Final

from schemas.vocabulary import DeadLetterReason

_REASON = DeadLetterReason

ACTIONS: Final[dict[DeadLetterReason, str]] = {
    _REASON.NULL_VALUE: "Send an event; input topics know no deletions. To take one back, send a retraction.",
    _REASON.TOO_LARGE: "Send one event per record, without attachments; the limit is the setting max_record_bytes.",
    _REASON.WRONG_ENCODING: "Encode the JSON text as UTF-8, without a byte order mark.",
    _REASON.NOT_JSON: "Send one JSON object per record (plain JSON, not a schema registry's binary format).",
    _REASON.TOO_DEEP: "Flatten the event: no event of the contract nests deeper than three levels.",
    _REASON.NOT_AN_OBJECT: "Send one JSON object per record, not a list or a bare value.",
    _REASON.NOT_FINITE: "JSON knows no NaN or Infinity: leave the field out when the number is not known.",
    _REASON.BAD_ENVELOPE: "Send CloudEvents 1.0 with id, source, specversion and type, and JSON data; or plain JSON.",
    _REASON.UNKNOWN_TYPE: "Use a `type` of the input contract; other events belong on another topic.",
    _REASON.WRONG_TOPIC: "Send this type to a topic of its own kind, or list this topic under that kind.",
    _REASON.MISSING_FIELD: "Add the field; docs/contracts.md says what each event needs.",
    _REASON.WRONG_TYPE: "Correct the field's JSON type; ids are strings, also when they look like numbers.",
    _REASON.BAD_VALUE: "Correct the field's value; docs/contracts.md says what is allowed.",
    _REASON.TIME_OUT_OF_RANGE: "Check the producer's clock and the time's unit; events this old are not accepted.",
    _REASON.NOT_XML: "Send well-formed XML without a document type, or name the adapter of what the topic carries.",
    _REASON.UNKNOWN_SHAPE: "Name the adapter or source of what writes to this topic (settings scans_adapters and sources).",
    _REASON.TOO_MANY: "Ask the carrier for fewer parcels at once, and send each answer as a record of its own.",
}


class RefusalError(ValueError):
    """A record that cannot become a fact. `detail` names fields, never their contents."""

    def __init__(self, reason: DeadLetterReason, detail: str) -> None:
        super().__init__(f"{reason.value}: {detail}")
        self.reason = reason
        self.detail = detail

    @property
    def action(self) -> str:
        """What the producer can do about it."""
        return ACTIONS[self.reason]
