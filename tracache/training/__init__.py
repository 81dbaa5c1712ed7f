"""The recipe of the embedded models: scene renderer, training, evaluation.

Nothing in the app imports this package; it runs offline and leaves its results in ``demo_assets/``.
"""
