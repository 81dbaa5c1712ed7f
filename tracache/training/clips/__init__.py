"""How the embedded model of clips was made."""
