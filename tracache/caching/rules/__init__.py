"""Rules: how what was computed becomes a prediction, one file each.

Each is a class of its own, or a row of :data:`~tracache.caching.rules.newton.NEWTON`. Along a
trajectory of blocks it is a :class:`~tracache.caching.rules.trajectory.Trajectory`, over one
coordinate; at the scheduler a rule is told the whole moment, see
:class:`~tracache.caching.rules.moment.Rule`. By name they are all in
:mod:`tracache.caching.rules.registry`.
"""
