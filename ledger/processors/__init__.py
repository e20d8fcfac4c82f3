"""Money in by card: calls to a payment processor that happen once, whatever is lost.

protocol   what we ask of any processor, and its answers
stripe     the real one; pretend: one for tests and the demo, with every fault we know of
keeping    the cards riders keep: added on the processor's page, removed, forgotten there
cards      top-ups, refunds to the card, chargebacks: what is booked when
outbox     calls written down first, made after, asked about when their outcome is unknown
state      whether the processor takes our orders, for the finance pages
webhooks   verified, de-duplicated by event id, true in any order
"""
