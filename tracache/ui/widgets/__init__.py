"""Parts of the page with a look or a script of their own, each beside its files."""
