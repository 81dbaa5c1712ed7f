"""The league: every arm and every way at equal computed steps, over the same held-out prompts."""
