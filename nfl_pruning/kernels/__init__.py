"""Speed written by hand: each kernel says what it gains; a test compares it with a plain form."""
