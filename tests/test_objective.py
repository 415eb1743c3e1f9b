"""What an objective says of itself follows from its number of samples."""

import pytest

from lvmbench.combinations.requirements import end_capabilities
from lvmbench.registry.loader import load_catalogue

CATALOGUE = load_catalogue()


@pytest.mark.parametrize("name", ["elbo", "iwae", "miwae[groups=1,size=2]"])
@pytest.mark.parametrize("samples", [1, 2, 5])
def test_more_than_one_sample_is_multi_sample(name, samples):
    objective = CATALOGUE.build("objective", name).with_samples(samples)
    provided = end_capabilities(objective, CATALOGUE.build("estimator", "pathwise"))
    assert ("objective.multi_sample" in provided) == (samples > 1)
