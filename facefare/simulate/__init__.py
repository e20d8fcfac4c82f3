"""A small city on virtual time in which everything goes wrong, and rules that must hold anyway.

    story.py       a seed becomes a list of steps; each step carries all its own chance
    city.py        the city: the real server application, gates, riders, one clock
    gates.py       a gate: the real passage logic, outbox, client and sync
    network.py     requests that get lost, doubled, delayed, and replies that never arrive
    crashes.py     a process that dies at a chosen write
    truth.py       what really happened, as nobody inside the city knows it
    invariants.py  what must be true after every step, and at the end
    shrink.py      the shortest story that still breaks a rule

The steps do not depend on one another, so any of them can be left out and the rest still
makes sense: that is what lets a failure be shrunk to a story a person can read.
"""
