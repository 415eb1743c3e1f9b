"""Results: the store, and what is made from it: boards, verdicts on claims, tables, pictures."""
