"""How the embedded models of images were made."""
