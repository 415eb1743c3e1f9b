"""Runs, curves and figures in MLflow."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, final

from lvmbench import (
    EpochEnded,
    EvaluationEnded,
    JobStarted,
    SuiteEnded,
    SuiteStarted,
    TrackedRun,
    Tracker,
    TrainingEnded,
    Unavailable,
)
from lvmbench_plugins.trackers._names import figure_name, run_name

if TYPE_CHECKING:
    from mlflow import MlflowClient

KEY = "lvmbench.key"
"""The tag by which a run is found again."""


@final
class MLflow(Tracker):
    """Each run as one of MLflow, with its settings, the bounds of each epoch and the figures of evaluators.

    They go to the database ``mlflow.db`` in the results directory, or to the server that ``uri`` or the
    variable MLFLOW_TRACKING_URI names, in an experiment called as the suite: look at them with
    ``mlflow ui --backend-store-uri sqlite:///DIR/mlflow.db``.

    References:
        Accelerating the Machine Learning Lifecycle with MLflow (Zaharia et al., 2018),
        https://people.eecs.berkeley.edu/~matei/papers/2018/ieee_mlflow.pdf

    Arguments:
        uri: Where MLflow keeps runs, as ``http://host:5000`` or ``sqlite:///runs.db``.
        experiment: The name of the experiment; by default that of the suite.
    """

    def __init__(self, *, uri: str | None = None, experiment: str | None = None) -> None:
        if find_spec("mlflow") is None:
            raise Unavailable("the package mlflow is missing: pip install 'lvmbench[mlflow]'")
        self.uri = uri or os.environ.get("MLFLOW_TRACKING_URI")
        self.experiment, self.experiment_id = experiment, ""
        self.runs: dict[str, str] = {}
        self.training = set[str]()

    def suite_started(self, event: SuiteStarted) -> None:
        from mlflow import MlflowClient

        folder = Path(event.directory)
        self.client: MlflowClient = MlflowClient(self.uri or f"sqlite:///{folder / 'mlflow.db'}")
        name = self.experiment or event.suite
        if found := self.client.get_experiment_by_name(name):
            self.experiment_id = found.experiment_id
        else:
            artifacts = None if self.uri else (folder / "mlflow").as_uri()
            self.experiment_id = self.client.create_experiment(name, artifacts)

    def job_started(self, event: JobStarted) -> None:
        for run in event.runs:
            self._give_up({run.key})  # it may have been tried before, with others
            self.runs[run.key] = self._created(run)
            self.training.add(run.key)

    def epoch_ended(self, event: EpochEnded) -> None:
        bounds = {"train_bound": event.train_bound, "validation_bound": event.validation_bound}
        self._log(event.run, bounds, event.epoch)

    def training_ended(self, event: TrainingEnded) -> None:
        numbers = {name: value for name, value in event.facts.items() if isinstance(value, int | float)}
        self._log(event.run, numbers)
        identifier = self._known(event.run)
        self.training.discard(event.run.key)
        self.client.set_tag(identifier, "lvmbench.status", event.status)
        if event.reason:
            self.client.set_tag(identifier, "lvmbench.reason", event.reason)
        self.client.set_terminated(identifier, "FINISHED" if event.status == "ok" else "FAILED")

    def evaluation_ended(self, event: EvaluationEnded) -> None:
        rows = event.measurements
        self._log(event.run, {figure_name(row): row["value"] for row in rows})
        errors = ((figure_name(row), row["stderr"]) for row in rows if row["stderr"] is not None)
        self._log(event.run, {f"{name}/stderr": error for name, error in errors})

    def suite_ended(self, event: SuiteEnded) -> None:
        self._give_up(set(self.training))

    def _give_up(self, keys: set[str]) -> None:
        """Say of those of these runs that are in training that nothing comes of it."""
        for key in keys & self.training:
            self.client.set_terminated(self.runs[key], "KILLED")
        self.training -= keys

    def _log(self, run: TrackedRun, values: Mapping[str, float], step: int = 0) -> None:
        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name, float(value), now, step) for name, value in values.items()]
        self.client.log_batch(self._known(run), metrics)

    def _known(self, run: TrackedRun) -> str:
        """The identifier of a run in MLflow, which is made if it was never tracked."""
        if run.key not in self.runs:
            found = self.client.search_runs(
                [self.experiment_id],
                f"tags.`{KEY}` = '{run.key}'",
                order_by=["start_time DESC"],
                max_results=1,
            )
            self.runs[run.key] = found[0].info.run_id if found else self._created(run)
        return self.runs[run.key]

    def _created(self, run: TrackedRun) -> str:
        from mlflow.entities import Param

        created = self.client.create_run(self.experiment_id, run_name=run_name(run), tags={KEY: run.key})
        settings = {**run.columns, "seed": run.seed}
        self.client.log_batch(
            created.info.run_id, params=[Param(name, str(value)) for name, value in settings.items()]
        )
        identifier: str = created.info.run_id
        return identifier
