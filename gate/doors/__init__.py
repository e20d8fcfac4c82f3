"""Door drivers: a console, a relay on GPIO pins, a controller on MQTT, one on HTTP.

A driver is the only thing that knows how to move one kind of door, and may be slow. The gate
talks to ``gate.doors.driven.DrivenDoor``, which keeps the driver in a thread of its own.
"""
