"""Checks the strategies that a config lists against the table."""

import difflib

from pydantic import ValidationError

from graftline.config import AUTO, Auto, Config, StrategyChoice, StrategyOptions
from graftline.config.file import describe_error
from graftline.models.checkpoint import CheckpointManifest
from graftline.runtime.errors import RefusedError
from graftline.strategies import STRATEGIES
from graftline.training.profile import TrainingProfile
from graftline.training.shape import Shape

CHOICES: dict[str, type[StrategyOptions]] = {
    strategy.name: strategy.options for strategy in STRATEGIES.values() if not strategy.is_control
} | {AUTO: Auto}
"""Options by each name that a config may list."""


def resolve(choice: StrategyChoice) -> StrategyOptions:
    """Returns a choice's options, checked and with every default filled in.

    Raises:
        RefusedError: No such strategy, or options that do not fit it.
    """
    options, errors = _check(choice, choice.name)
    if options is None:
        raise RefusedError("\n".join(f"strategies: {error}" for error in errors))
    return options


def profile_of(choice: StrategyChoice) -> TrainingProfile:
    """Returns what the recipe and the cost of a choice depend on."""
    return STRATEGIES[choice.name].profile_for(resolve(choice))


def resolve_config(config: Config, where: str = "config") -> Config:
    """Returns a config with the options of every strategy checked and complete.

    Args:
        config: The whole run.
        where: The config's file, for messages.

    Raises:
        RefusedError: Unknown strategies, wrong options, or a strategy that does not serve the task; lists each.
    """
    resolved, errors = [], []
    for number, choice in enumerate(config.strategies):
        options, wrong = _check(choice, f"strategies.{number}")
        errors += wrong
        if options is not None:
            resolved.append(options)
            errors += _task_errors(options, config)
    if errors:
        raise RefusedError("\n".join(f"{where}: {error}" for error in errors))
    return config.model_copy(update={"strategies": resolved})


def _check(choice: StrategyChoice, place: str) -> tuple[StrategyOptions | None, list[str]]:
    """Returns the options, or None and what is wrong with them."""
    if isinstance(choice, StrategyOptions):
        return choice, []
    model = CHOICES.get(choice.name)
    if model is None:
        close = difflib.get_close_matches(choice.name, CHOICES, n=1)
        hint = f"did you mean {close[0]!r}? " if close else ""
        return None, [f"{place}: unknown name {choice.name!r}; {hint}known: {', '.join(map(repr, CHOICES))}"]
    try:
        return model.model_validate(choice.model_dump()), []
    except ValidationError as error:
        place = f"{place}.{choice.name}" if place != choice.name else place
        return None, [describe_error(item, model, place) for item in error.errors()]


def _task_errors(options: StrategyOptions, config: Config) -> list[str]:
    strategy = STRATEGIES.get(options.name)
    if strategy is None or config.task in strategy.tasks:
        return []
    return [f"strategies: {options.name} serves only {' and '.join(strategy.tasks)}, not {config.task}; remove it"]


def shape_for(source: CheckpointManifest, choice: StrategyChoice) -> Shape:
    """Returns the shape of the network that a choice trains."""
    return STRATEGIES[choice.name].shape(source, resolve(choice))
