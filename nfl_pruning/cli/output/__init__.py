"""What commands show and write: tables, strict JSON, subsets, verdicts."""
