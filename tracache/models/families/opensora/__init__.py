"""Open-Sora 1.2: text to video."""
