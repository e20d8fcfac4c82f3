"""A small city on virtual time in which everything goes wrong, and rules that must hold anyway.

    steps.py           what can happen, one thing at a time
    story.py           a seed becomes a list of steps; each step carries all its own chance
    founding.py        the city before anything has happened in it
    feed.py            its fares, and those that follow them
    city.py            the city: the real server application, gates, riders, one clock
    gates.py           a gate: the real passage logic, outbox, client and sync
    network.py         requests that get lost, doubled, delayed, and replies that never arrive
    crashes.py         a process that dies at a chosen write
    bank.py            the payment processor and the bank, and what their reports leave out
    living.py          how ordinary steps happen
    faults.py          how faults happen
    truth.py           what really happened, as nobody inside the city knows it
    invariants.py      what must be true of the log and of each passage
    fare_rules.py      … of what riders pay
    standing_rules.py  … of who may ride
    books.py           … of the day's reconciliation
    run.py             live through a story and check
    shrink.py          the shortest story that still breaks a rule

The steps do not depend on one another, so any of them can be left out and the rest still
makes sense: that is what lets a failure be shrunk to a story a person can read. What befell
the city is counted, so that a fault that never strikes is noticed.
"""
