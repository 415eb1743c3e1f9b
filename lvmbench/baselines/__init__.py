"""Baselines: plain models of data, fitted once, which figures are held against."""
