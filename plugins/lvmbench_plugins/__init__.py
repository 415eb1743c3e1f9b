"""The reference components of lvmbench: a plugin like any other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import lvmbench

if TYPE_CHECKING:
    from lvmbench import Register

COMPONENTS = {
    "dataset": {
        "digits": "datasets.digits:Digits",
        "digit_halves": "datasets.digit_halves:DigitHalves",
        "linear_gaussian": "datasets.linear_gaussian:LinearGaussianData",
        "blobs": "datasets.blobs:Blobs",
        "shapes": "datasets.shapes:Shapes",
        "table": "datasets.table:Table",
        "mnist": "datasets.mnist:Mnist",
        "static_mnist": "datasets.static_mnist:StaticMnist",
        "fashion_mnist": "datasets.fashion_mnist:FashionMnist",
        "omniglot": "datasets.omniglot:Omniglot",
        "caltech_silhouettes": "datasets.caltech_silhouettes:CaltechSilhouettes",
        "frey_faces": "datasets.frey_faces:FreyFaces",
        "jsb_chorales": "datasets.jsb_chorales:JsbChorales",
        "nottingham": "datasets.nottingham:Nottingham",
        "musedata": "datasets.musedata:MuseData",
        "piano_midi": "datasets.piano_midi:PianoMidi",
    },
    "prior": {
        "standard_normal": "priors.standard_normal:StandardNormal",
        "mixture": "priors.mixture:MixturePrior",
        "vamp": "priors.vamp:VampPrior",
        "associative": "priors.associative:Associative",
        "flow": "priors.flow:FlowPrior",
        "autoregressive": "priors.autoregressive:Autoregressive",
        "stick_breaking": "priors.stick_breaking:StickBreaking",
        "bernoulli": "priors.bernoulli:BernoulliPrior",
        "belief_network": "priors.belief_network:BeliefNetwork",
        "categorical": "priors.categorical:CategoricalPrior",
        "hierarchy": "priors.hierarchy:Hierarchy",
        "diffusion": "priors.diffusion:Diffusion",
        "fully_visible": "priors.fully_visible:FullyVisiblePrior",
        "linear_dynamics": "priors.linear_dynamics:LinearDynamicsPrior",
        "markov": "priors.markov:Markov",
        "recurrent": "priors.recurrent:RecurrentPrior",
    },
    "posterior": {
        "gaussian": "posteriors.gaussian:Gaussian",
        "full_gaussian": "posteriors.full_gaussian:FullGaussian",
        "kumaraswamy": "posteriors.kumaraswamy:Kumaraswamy",
        "low_rank_gaussian": "posteriors.low_rank_gaussian:LowRankGaussian",
        "dlgmm": "posteriors.dlgmm:Dlgmm",
        "bottom_up": "posteriors.bottom_up:BottomUp",
        "ladder": "posteriors.ladder:Ladder",
        "noising": "posteriors.noising:Noising",
        "svi": "posteriors.svi:Svi",
        "semi_amortized": "posteriors.semi_amortized:SemiAmortized",
        "planar": "posteriors.planar:Planar",
        "radial": "posteriors.radial:Radial",
        "iaf": "posteriors.iaf:Iaf",
        "coupling": "posteriors.coupling:Coupling",
        "spline": "posteriors.spline:Spline",
        "sylvester": "posteriors.sylvester:Sylvester",
        "auxiliary": "posteriors.auxiliary:Auxiliary",
        "hamiltonian": "posteriors.hamiltonian:Hamiltonian",
        "denoising": "posteriors.denoising:Denoising",
        "rejection": "posteriors.rejection:Rejection",
        "draw": "posteriors.draw:Draw",
        "filtering": "posteriors.filtering:Filtering",
        "smoothing": "posteriors.smoothing:Smoothing",
        "exact": "posteriors.exact:Exact",
        "bernoulli": "posteriors.bernoulli:BernoulliPosterior",
        "bernoulli_svi": "posteriors.bernoulli_svi:BernoulliSvi",
        "belief_network": "posteriors.belief_network:RecognitionNetwork",
        "categorical": "posteriors.categorical:CategoricalPosterior",
        "relaxed": "posteriors.relaxed:RelaxedPosterior",
    },
    "decoder": {
        "bernoulli": "decoders.bernoulli:BernoulliDecoder",
        "gaussian": "decoders.gaussian:GaussianDecoder",
        "linear_gaussian": "decoders.linear_gaussian:LinearGaussian",
        "continuous_bernoulli": "decoders.continuous_bernoulli:ContinuousBernoulliDecoder",
        "categorical": "decoders.categorical:CategoricalDecoder",
        "logistic_mixture": "decoders.logistic_mixture:LogisticMixture",
        "negative_binomial": "decoders.negative_binomial:NegativeBinomialDecoder",
        "pixelcnn": "decoders.pixelcnn:PixelCnn",
        "draw": "decoders.draw:DrawDecoder",
        "fully_visible": "decoders.fully_visible:FullyVisibleDecoder",
    },
    "objective": {
        "elbo": "objectives.elbo:Elbo",
        "iwae": "objectives.iwae:Iwae",
        "miwae": "objectives.miwae:Miwae",
        "renyi": "objectives.renyi:Renyi",
        "vr_max": "objectives.vr_max:VrMax",
        "ciwae": "objectives.ciwae:Ciwae",
        "rws": "objectives.rws:Rws",
        "smc": "objectives.smc:Smc",
        "info": "objectives.info:Info",
        "wasserstein": "objectives.wasserstein:Wasserstein",
    },
    "estimator": {
        "pathwise": "estimators.pathwise:Pathwise",
        "score": "estimators.score:Score",
        "stl": "estimators.stl:Stl",
        "blend": "estimators.blend:Blend",
        "dreg": "estimators.dreg:Dreg",
        "vimco": "estimators.vimco:Vimco",
        "covariance": "estimators.covariance:Covariance",
        "rebar": "estimators.rebar:Rebar",
        "enumeration": "estimators.enumeration:Enumeration",
        "stratified": "estimators.stratified:Stratified",
        "own": "estimators.own:Own",
    },
    "evaluator": {
        "tightness": "evaluators.tightness:Tightness",
        "generalization": "evaluators.generalization:Generalization",
        "quadrature": "evaluators.quadrature:Quadrature",
        "ais": "evaluators.ais:Ais",
        "bdmc": "evaluators.bdmc:Bdmc",
        "gap_split": "evaluators.gap_split:GapSplit",
        "gradient_variance": "evaluators.gradient_variance:GradientVariance",
        "informativeness": "evaluators.informativeness:Informativeness",
        "disentanglement": "evaluators.disentanglement:Disentanglement",
        "clustering": "evaluators.clustering:Clustering",
        "bits_back": "evaluators.bits_back:BitsBack",
        "sample_quality": "evaluators.sample_quality:SampleQuality",
        "imputation": "evaluators.imputation:Imputation",
        "completion": "evaluators.completion:Completion",
        "cost": "evaluators.cost:Cost",
    },
}
"""The class of each component, by kind and name."""
SUITES = (
    "quick",
    "exact",
    "variational",
    "estimators",
    "digit_halves",
    "compatibility",
    "generative",
    "augmented",
    "static_mnist",
    "paper/iwae",
    "paper/ladder",
    "paper/stick_breaking",
    "paper/vampprior",
)


@lvmbench.hookimpl
def lvmbench_register(register: Register) -> None:
    for kind, classes in COMPONENTS.items():
        for name, target in classes.items():
            getattr(register, kind)(name, f"lvmbench_plugins.{target}")
    for name in SUITES:
        register.suite(name, f"lvmbench_plugins:suites/{name}.yaml")
