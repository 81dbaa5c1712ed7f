"""What the paper's figures and tables show, for any model of the registry, as commands."""
