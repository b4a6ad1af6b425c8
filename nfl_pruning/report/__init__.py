"""Evidence for people: plots of statements and a self-contained page."""
