"""Options that commands share, by what they describe."""
