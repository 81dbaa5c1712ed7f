"""The scenes and clips that everything is trained on."""
