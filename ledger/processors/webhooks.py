"""Webhooks: a signed hint that something changed.

A message about an order or a card's page is not believed for what it says: the processor is
asked what is true now, so doubled, late and reordered messages all end in the same books. An
event's id is kept once it was handled; a message that could not be handled is answered with
an error and comes again.

    POST /api/v1/processor/webhook      Stripe-Signature: t=…,v1=…
    204   handled, now or before     400   not signed by the processor     503   come again
"""

from __future__ import annotations

from flask import Blueprint, request
from werkzeug.wrappers import Response

from ledger.ledger import Ledger
from ledger.processors.outbox import ask_about
from ledger.processors.protocol import (
    Event,
    OutcomeUnknown,
    Processor,
    ProcessorUnusable,
    WebhookRefused,
)
from ledger.processors.settling import book_dispute
from models.database import reading, writing
from models.tables.reconcile import ProcessorEventRow

BODY_BYTES_MAX = 256 * 1024
SIGNATURE_HEADER = "Stripe-Signature"


def receive(ledger: Ledger, processor: Processor, body: bytes, signature: str) -> bool:
    """Handle one message; return whether it was new.

    Raises ``WebhookRefused`` for one the processor did not sign, ``OutcomeUnknown`` where it
    could not be handled and must come again.
    """
    event = processor.read_event(body, signature, ledger.clock())
    key = (processor.name, event.event_id)
    with reading(ledger.engine) as session:
        if session.get(ProcessorEventRow, key) is not None:
            return False
    _handle(ledger, processor, event)
    with writing(ledger.engine) as session:
        if session.get(ProcessorEventRow, key) is None:
            session.add(
                ProcessorEventRow(
                    processor=processor.name,
                    event_id=event.event_id,
                    kind=event.kind,
                    received_at=ledger.clock(),
                )
            )
    return True


def _handle(ledger: Ledger, processor: Processor, event: Event) -> None:
    if event.order_id is not None:
        ask_about(ledger, processor, event.order_id)
    elif event.dispute is not None and not book_dispute(ledger, event.dispute):
        # The charge may succeed in our books a moment later; then this message is needed.
        raise OutcomeUnknown(f"the dispute {event.dispute.dispute_id} is about an unknown charge")


def webhooks(ledger: Ledger, processor: Processor) -> Blueprint:
    """The address the processor sends its messages to; it has no session and no cookie."""
    blueprint = Blueprint("processor_api", __name__, url_prefix="/api/v1/processor")

    @blueprint.post("/webhook")
    def webhook() -> Response:
        if (request.content_length or 0) > BODY_BYTES_MAX:
            return Response(status=413)
        try:
            receive(
                ledger, processor, request.get_data(), request.headers.get(SIGNATURE_HEADER, "")
            )
        except WebhookRefused as error:
            return Response(str(error), 400, mimetype="text/plain")
        except (OutcomeUnknown, ProcessorUnusable) as error:
            return Response(str(error), 503, mimetype="text/plain")
        return Response(status=204)

    return blueprint
