"""The Python interface: what `lvmbench.run`, `fit`, `evaluate` and `load` do."""
