"""One request, arm by arm."""
