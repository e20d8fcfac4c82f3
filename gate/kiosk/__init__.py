"""The screen beside the gate: one page for a browser in kiosk mode on the same machine.

It shows where the passage stands, and takes the last four digits. It knows faces only as
boxes: no picture is served, because none is ever handed in here.
"""
