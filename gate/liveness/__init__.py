"""Is the face before the camera a living one? A deterrent with measured limits, not a proof.

``check``       what the gate asks and what it is told: findings with a reason in words
``minifasnet``  a pair of small networks: prints, phones and tablets
``rigid``       a weight-free measurement: a still picture that is moved about
``fused``       both, gathered over a track, with a deadline
``choices``     what an operator may choose, and the check made from it
``measuring``   the check run over recordings, without deciding
``thresholds``  what a camera's own live riders reach, and the thresholds made from it
``risk``        what a face alone may do, given how sure all this is
"""
