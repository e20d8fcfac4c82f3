"""Eyes and door: the program at the turnstile. It decides WHO, never how much.

It works without a network: the gallery, the deny list and the keys lie on the gate, and
every tap is signed, chained and on disk before the door opens.
"""
