"""One entry a model, by kind."""
