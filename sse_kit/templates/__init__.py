"""Scripts for the page, rendered from typed config."""
