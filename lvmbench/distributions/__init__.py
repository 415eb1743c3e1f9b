"""Distributions that draw from explicit noise and work inside ``torch.vmap``."""

from lvmbench.distributions.autoregressive_bernoulli import (
    AutoregressiveBernoulli as AutoregressiveBernoulli,
)
from lvmbench.distributions.base import Distribution as Distribution
from lvmbench.distributions.base import closed as closed
from lvmbench.distributions.base import is_open as is_open
from lvmbench.distributions.base import traits_of as traits_of
from lvmbench.distributions.bernoulli import Bernoulli as Bernoulli
from lvmbench.distributions.categorical import Categorical as Categorical
from lvmbench.distributions.chain import BinaryChain as BinaryChain
from lvmbench.distributions.chain import Chain as Chain
from lvmbench.distributions.chain import LinearChain as LinearChain
from lvmbench.distributions.continuous_bernoulli import ContinuousBernoulli as ContinuousBernoulli
from lvmbench.distributions.diagonal_normal import DiagonalNormal as DiagonalNormal
from lvmbench.distributions.diffusion import Denoised as Denoised
from lvmbench.distributions.diffusion import Noised as Noised
from lvmbench.distributions.finite import Finite as Finite
from lvmbench.distributions.flow import Coupled as Coupled
from lvmbench.distributions.flow import Flow as Flow
from lvmbench.distributions.flow import InvertibleFlow as InvertibleFlow
from lvmbench.distributions.levels import CategoricalLevels as CategoricalLevels
from lvmbench.distributions.levels import DiscretizedLogisticMixture as DiscretizedLogisticMixture
from lvmbench.distributions.logit_beta import LogitBeta as LogitBeta
from lvmbench.distributions.logit_kumaraswamy import LogitKumaraswamy as LogitKumaraswamy
from lvmbench.distributions.low_rank_normal import LowRankNormal as LowRankNormal
from lvmbench.distributions.marginal import Marginal as Marginal
from lvmbench.distributions.mixture import Mixture as Mixture
from lvmbench.distributions.multivariate_normal import MultivariateNormal as MultivariateNormal
from lvmbench.distributions.multivariate_normal import cholesky as cholesky
from lvmbench.distributions.negative_binomial import NegativeBinomial as NegativeBinomial
from lvmbench.distributions.recurrent import Recurrent as Recurrent
from lvmbench.distributions.relaxed import RelaxedBernoulli as RelaxedBernoulli
from lvmbench.distributions.relaxed import RelaxedCategorical as RelaxedCategorical
from lvmbench.distributions.relaxed import StraightThroughBernoulli as StraightThroughBernoulli
from lvmbench.distributions.relaxed import StraightThroughCategorical as StraightThroughCategorical
from lvmbench.distributions.resampled import Resampled as Resampled
from lvmbench.distributions.steps import LinearDynamics as LinearDynamics
from lvmbench.distributions.steps import LinearMove as LinearMove
from lvmbench.distributions.steps import LinearSteps as LinearSteps
from lvmbench.distributions.steps import Memory as Memory
from lvmbench.distributions.steps import Step as Step
from lvmbench.distributions.steps import Steps as Steps
