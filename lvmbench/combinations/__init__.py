"""Combinations of components: their names, their parts built, and what each requires of the others."""
