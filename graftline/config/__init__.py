"""The config: every setting of a run with its default, unit and check.

The steps, the DAGs, the command line and `docs/config.md` all use this package. It imports neither torch nor kfp.
"""

from graftline.config.architecture import ArchitectureOptions
from graftline.config.base import Count, Fraction, Kernel, NotNegative, Positive, Settings
from graftline.config.data import DEFAULT_TASK, Columns, Data, Source, Target, TaskName
from graftline.config.run import Config, Gate
from graftline.config.strategies import StrategyChoice, StrategyOptions
from graftline.config.tournament import AUTO, Auto, Budget, without_auto
from graftline.config.training import Augmentation, Control, Head, Loss, Optimizer, Small, Training

__all__ = [
    "AUTO",
    "DEFAULT_TASK",
    "ArchitectureOptions",
    "Augmentation",
    "Auto",
    "Budget",
    "Columns",
    "Config",
    "Control",
    "Count",
    "Data",
    "Fraction",
    "Gate",
    "Head",
    "Kernel",
    "Loss",
    "NotNegative",
    "Optimizer",
    "Positive",
    "Settings",
    "Small",
    "Source",
    "StrategyChoice",
    "StrategyOptions",
    "Target",
    "TaskName",
    "Training",
    "without_auto",
]
