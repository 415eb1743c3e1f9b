"""Suites: grids of combinations as files, and the plan of what they ask for."""
