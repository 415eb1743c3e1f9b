"""In a notebook: a kernel of Jupyter runs the cells, and what they show is what is looked at."""

import re

import pytest

nbformat = pytest.importorskip("nbformat", reason="the extra `dev` has nbclient and ipykernel")
pytest.importorskip("ipykernel", reason="the extra `dev` has it")
client = pytest.importorskip("nbclient", reason="the extra `dev` has it")

SUITE = {
    "suite": "notebook",
    "datasets": ["blobs[train=60,validation=20,test=20]"],
    "priors": ["standard_normal"],
    "posteriors": ["gaussian[hidden=8,layers=1]"],
    "decoders": ["linear_gaussian"],
    "objectives": ["elbo"],
    "latent": 2,
    "budget": {"epochs": 2, "batch": 20},
    "seeds": 2,
    "evaluators": ["tightness[samples=20,repeats=5]"],
}
CELLS = {
    "run": f"import lvmbench\nresults = lvmbench.run({SUITE}, 'out', jobs=0)",
    "results": "results",
    "board": "results.board('gap')",
    "fitted": "fitted = results.fitted(results.records.iloc[0])\nfitted",
    "model": "fitted.model",
    "data": "fitted.data",
    "distribution": "fitted.model.q(fitted.data.splits['test'].values)",
    "estimator": "from lvmbench.sklearn import LatentVariableModel\nLatentVariableModel(latent=2)",
}
WORKERS = "import lvmbench\nresults = lvmbench.run({suite}, 'workers', jobs=2)"


def executed(cells, folder):
    """What each cell shows, run by a kernel of its own."""
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(cell) for cell in cells])
    client.NotebookClient(notebook, timeout=300, resources={"metadata": {"path": str(folder)}}).execute()
    return [cell["outputs"] for cell in notebook.cells]


@pytest.fixture(scope="module")
def shown(tmp_path_factory):
    return dict(zip(CELLS, executed(CELLS.values(), tmp_path_factory.mktemp("notebook")), strict=True))


def test_nothing_is_an_error_or_a_warning(shown):
    kinds = {output["output_type"] for outputs in shown.values() for output in outputs}
    assert kinds == {"display_data", "execute_result"}


def html_of(outputs):
    (output,) = outputs
    return output["data"]["text/html"]


def test_a_run_shows_one_bar_which_ends_full(shown):
    html = html_of(shown["run"])
    assert re.findall(r'value="(\d+)" max="(\d+)"', html) == [("1", "1")]
    assert "1 of 1 combinations · 2 ok" in html
    assert "this process" in html


def test_results_and_boards_are_tables(shown):
    for name in ("results", "board"):
        assert html_of(shown[name]).count("<table>") == 1
    assert "2 ok" in html_of(shown["results"])
    assert "gap" in html_of(shown["board"])


def test_models_and_data_are_tables_in_html_and_a_line_of_text(shown):
    assert "standard_normal" in html_of(shown["fitted"])
    assert "StandardNormal" in html_of(shown["model"])
    for name in ("results", "board", "fitted", "data", "distribution"):
        (output,) = shown[name]
        text = output["data"]["text/plain"]
        assert len(text) < 200, text
        assert "\n" not in text
    assert "LatentVariableModel" in html_of(shown["estimator"])


@pytest.mark.slow
def test_worker_processes_start_from_a_notebook(tmp_path):
    (outputs,) = executed([WORKERS.format(suite=SUITE)], tmp_path)
    assert "1 of 1 combinations · 2 ok" in html_of(outputs)
    assert "worker process" in html_of(outputs)
