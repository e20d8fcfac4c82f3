"""Measurements beside a peer; each module's ``run`` returns what ``facefare bench`` prints."""
