"""Consent and faces: the only writer of biometrics, and the pages of riders and staff."""
