"""Commands, one module each: they parse, call the library and print."""
