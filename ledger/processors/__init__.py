"""Money in by card: calls to a payment processor that happen once, whatever is lost.

protocol   what we ask of any processor, and its answers
stripe     the real one; pretend: one for simulations, with every fault we know of
cards      top-ups, refunds to the card, chargebacks: what is booked when
outbox     calls written down first, made after, asked about when their outcome is unknown
webhooks   verified, de-duplicated by event id, true in any order
"""
