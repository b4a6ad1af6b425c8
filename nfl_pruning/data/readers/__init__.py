"""Forms in which data come: archives, arrays, tables of files and of other libraries."""
