"""The ``nfl-pruning`` application: finds commands lazily and says every error in one sentence."""

from __future__ import annotations

import io
import os
import sys
from contextlib import suppress
from difflib import get_close_matches
from importlib import import_module
from typing import Any, NoReturn

import click

from nfl_pruning import __version__
from nfl_pruning.errors import InvalidArgumentError, LostProcessError, OutputExistsError
from nfl_pruning.experiments.compilation import use_compilation_cache

COMMANDS = {
    "solve": "nfl_pruning.cli.commands.solve",
    "simulate": "nfl_pruning.cli.commands.simulate",
    "prune": "nfl_pruning.cli.commands.prune",
    "score": "nfl_pruning.cli.commands.score",
    "train": "nfl_pruning.cli.commands.train",
    "compare": "nfl_pruning.cli.commands.compare",
    "advise": "nfl_pruning.cli.commands.advise",
    "verify": "nfl_pruning.cli.commands.verify",
    "adversary": "nfl_pruning.cli.commands.adversary",
    "reproduce": "nfl_pruning.cli.commands.reproduce",
    "list": "nfl_pruning.cli.commands.list",
}

USERS_SETTINGS = (
    "JAX_NUMPY_RANK_PROMOTION",
    "JAX_NUMPY_DTYPE_PROMOTION",
    "JAX_TRANSFER_GUARD",
    "JAX_TRANSFER_GUARD_HOST_TO_DEVICE",
    "JAX_TRANSFER_GUARD_DEVICE_TO_DEVICE",
    "JAX_TRANSFER_GUARD_DEVICE_TO_HOST",
)
BAD_INPUT = 2
INTERRUPTED = 130


def fail(sentence: str) -> NoReturn:
    """Print one line on standard error and leave with the exit code of bad input."""
    text = " ".join(sentence.split())
    click.echo(f"Error: {text if text.endswith('.') else text + '.'}", err=True)
    sys.exit(BAD_INPUT)


def bear_any_text() -> None:
    """Let standard output and error print what their encoding lacks as escapes, not fail."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            with suppress(OSError, ValueError):
                stream.reconfigure(errors="backslashreplace")


def _lack_of_devices() -> str | None:
    """Why JAX has no device, as where JAX_PLATFORMS names one that is not there; None if it has."""
    try:
        import jax

        jax.devices()
    except (RuntimeError, AssertionError) as error:
        told = os.environ.get("JAX_PLATFORMS", "")
        text = str(error).split("\n")[0].split(" (set JAX_PLATFORMS")[0]
        return text or f"none of JAX_PLATFORMS={told} is here."
    return None


def _sentence(error: click.ClickException) -> str:
    """Click's complaint in our form."""
    if isinstance(error, click.NoSuchOption):
        known = [] if error.ctx is None else _option_names(error.ctx)
        return f"no option {error.option_name}{_nearest(error.option_name, known)}"
    return error.format_message()


def _option_names(context: click.Context) -> list[str]:
    return [name for parameter in context.command.get_params(context) for name in parameter.opts]


def _nearest(name: str, known: list[str]) -> str:
    near = get_close_matches(name, known, n=1, cutoff=0.0)
    return f" (nearest: {near[0]})" if near else ""


class Application(click.Group):
    """A group whose commands load on first use and whose errors are single sentences."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        return import_module(COMMANDS[cmd_name]).command if cmd_name in COMMANDS else None

    def resolve_command(self, ctx: click.Context, args: list[str]) -> Any:
        if args and args[0] not in COMMANDS and not args[0].startswith("-"):
            raise click.UsageError(f"no command {args[0]!r}{_nearest(args[0], list(COMMANDS))}")
        return super().resolve_command(ctx, args)

    def main(  # pyright: ignore[reportIncompatibleMethodOverride] (it never returns)
        self, args: Any = None, prog_name: str | None = None, **settings: Any
    ) -> NoReturn:
        """Run, then leave with 0 for success, 2 for bad input, 130 when interrupted."""
        bear_any_text()
        try:
            settings["standalone_mode"] = False
            outcome = super().main(args, prog_name or "nfl-pruning", **settings)
        except OutputExistsError as error:
            fail(f"{str(error).partition('; force')[0]}; pass --force to replace it")
        except InvalidArgumentError as error:
            fail(str(error))
        except LostProcessError as error:
            again = "run the command again, with --jobs 1 for less memory"
            fail(f"{str(error).rstrip('.')}: {again}")
        except click.ClickException as error:
            fail(_sentence(error))
        except (click.Abort, KeyboardInterrupt):
            click.echo("Interrupted.", err=True)
            sys.exit(INTERRUPTED)
        except BrokenPipeError:  # the reader of a pipe, such as head, has left
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            fail(f"{error.strerror or error}: {error.filename}" if error.filename else str(error))
        except MemoryError as error:
            fail(f"there is not enough memory: {error}")
        except Exception:
            reason = _lack_of_devices()
            if reason is None:
                raise
            fail(f"JAX cannot use the devices that it was told to use: {reason}")
        sys.exit(outcome if isinstance(outcome, int) else 0)


@click.group(
    cls=Application,
    invoke_without_command=True,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Every command explains itself: nfl-pruning solve --help.",
)
@click.version_option(__version__, prog_name="nfl-pruning")
@click.pass_context
def main(context: click.Context) -> None:
    """Score-based data pruning: exact theory, simulation, and pruning of real data."""
    if context.invoked_subcommand is None:
        click.echo(context.get_help())
        return
    use_compilation_cache()
    if "jax" in sys.modules or any(name in os.environ for name in USERS_SETTINGS):
        from nfl_pruning.settings import own_settings

        context.with_resource(own_settings())
