"""The models that the demo knows, and how each family is driven."""
