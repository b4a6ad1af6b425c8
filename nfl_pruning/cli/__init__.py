"""The command line: commands over the library, the options that they share, what they show."""
