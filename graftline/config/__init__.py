"""The config: every setting of a run with its default, unit and check.

The steps, the DAGs, the command line and `docs/config.md` all use this package. It imports neither torch nor kfp.
"""

from graftline.config.base import Count, Fraction, Kernel, NotNegative, Positive, Settings
from graftline.config.data import DEFAULT_TASK, Columns, Data, Source, Target, TaskName
from graftline.config.run import Config, Gate
from graftline.config.strategies import Feature, Full, Partial, Staged, Strategy, Structure, Zero
from graftline.config.tournament import Asked, Auto, Budget, named
from graftline.config.training import Augmentation, Control, Head, Loss, Optimizer, Small, Training

__all__ = [
    "DEFAULT_TASK",
    "Asked",
    "Augmentation",
    "Auto",
    "Budget",
    "Columns",
    "Config",
    "Control",
    "Count",
    "Data",
    "Feature",
    "Fraction",
    "Full",
    "Gate",
    "Head",
    "Kernel",
    "Loss",
    "NotNegative",
    "Optimizer",
    "Partial",
    "Positive",
    "Settings",
    "Small",
    "Source",
    "Staged",
    "Strategy",
    "Structure",
    "Target",
    "TaskName",
    "Training",
    "Zero",
    "named",
]
