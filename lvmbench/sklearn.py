"""Latent variable models with scikit-learn's interface."""

from lvmbench.api.sklearn import LatentVariableModel

__all__ = ["LatentVariableModel"]
