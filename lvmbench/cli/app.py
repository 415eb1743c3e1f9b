"""The commands, gathered."""

from __future__ import annotations

from collections.abc import Callable

import typer

from lvmbench.cli import catalogue, checking, creating, data, keeping, running, tables

app = typer.Typer(
    name="lvmbench",
    help="Benchmark latent variable models: any prior, posterior and decoder, trained and measured alike.",
    epilog="Start with: lvmbench run quick",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)


def _version(show: bool) -> None:
    if show:
        from lvmbench import __version__

        print(f"lvmbench {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: bool = typer.Option(
        False, "--version", callback=_version, is_eager=True, help="Show the version and exit."
    ),
) -> None:
    pass


_PANELS: dict[str, list[Callable[..., None]]] = {
    "Run": [running.run, running.plan, running.status, running.retry, running.evaluate],
    "Read": [
        tables.leaderboard,
        tables.effects,
        tables.compare,
        tables.report,
        keeping.publish,
        keeping.verify,
        keeping.merge,
    ],
    "Components and data": [catalogue.list_, catalogue.show, catalogue.plugins, catalogue.doctor],
    "Write a component": [creating.new, checking.check],
}
for _panel, _commands in _PANELS.items():
    for _command in _commands:
        app.command(_command.__name__.rstrip("_"), rich_help_panel=_panel)(_command)
app.add_typer(data.app, name="data", rich_help_panel="Components and data")
