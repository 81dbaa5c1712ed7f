"""How each family of pipelines is loaded and driven; one a file."""
