"""How an advice is told: in words, in pictures, on a page."""
