"""What ``benchmarks/gpu.py`` checks and measures, a module for each, and how it is run and written down."""
