"""Figures of single data whose bytes have changed are named, not used, and measured again."""

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

import lvmbench
from lvmbench.results.per_datum import per_datum_file

ONE = {"priors": ["standard_normal"], "seeds": [0]}
EVALUATOR = "tightness[repeats=5,samples=20]"


@pytest.fixture
def measured(tiny):
    """A run that is measured, the file of its figures of single data, and these."""
    tiny.have(**ONE)
    (key,) = tiny.frame()["key"]
    file = per_datum_file(tiny.folder / "out" / "weights", key, EVALUATOR)
    assert tiny.frame("evaluations")["per_datum_sha256"].str.fullmatch("[0-9a-f]{64}").all()
    return key, file, load_file(file)


def read(tiny, key, name="elbo"):
    return lvmbench.load(tiny.folder / "out")._reader()(key, EVALUATOR, name)


def spoil(file, how):
    """Change a file: by other figures, or by what is no safetensors."""
    if how == "edited":
        save_file({name: np.flip(values).copy() for name, values in load_file(file).items()}, file)
    else:
        file.write_bytes(b"\x80\x04N." + file.read_bytes())


@pytest.mark.parametrize("how", ["edited", pytest.param("pickled", marks=pytest.mark.slow)])
def test_changed_figures_of_single_data_are_named_and_measured_again(tiny, cli, measured, how):
    key, file, before = measured
    assert read(tiny, key).tolist() == before["elbo"].tolist()
    spoil(file, how)
    assert read(tiny, key) is None
    shown = cli("verify", tiny.folder / "out", "--sample", 0)
    assert shown.code == 1
    assert f"differs: those of run {key[:20]} by {EVALUATOR} are not those that were measured" in shown.out
    tiny.reporter.said.clear()
    assert tiny.run(**ONE).trained == 0
    line = f"the figures of single data of run {key[:20]} are not what {EVALUATOR} gave: it measures again"
    assert tiny.reporter.said == [line]
    assert all(np.array_equal(values, before[name]) for name, values in load_file(file).items())
    assert cli("verify", tiny.folder / "out", "--sample", 0).code == 0


@pytest.mark.slow
def test_evaluate_names_them_too(tiny, measured):
    key, file, _ = measured
    spoil(file, "edited")
    tiny.run(**ONE, evaluators=[EVALUATOR], training=False)
    assert [line for line in tiny.reporter.said if line.startswith("the figures of single data")]
    assert read(tiny, key) is not None


def test_figures_of_single_data_that_are_gone_are_missed_but_not_measured_again(tiny, cli, measured):
    key, file, _ = measured
    file.unlink()
    assert read(tiny, key) is None
    assert "are missing" in cli("verify", tiny.folder / "out", "--sample", 0).out
    assert tiny.run(**ONE).counts == {"ok": 1}
    assert not file.exists()
