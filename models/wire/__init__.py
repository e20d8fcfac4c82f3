"""What travels between programs: canonical bytes, keys, signed taps, request tokens."""
