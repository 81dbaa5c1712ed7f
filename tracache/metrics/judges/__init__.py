"""Networks that tell what an embedded model was asked for from what it made."""
