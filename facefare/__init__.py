"""The composition root: the ``facefare`` command, the one-machine server, the demo.

It wires the parts together and holds no rules of its own.
"""
