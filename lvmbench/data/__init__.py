"""Data sets before they are data sets: raw files, and the rules that data must keep."""
