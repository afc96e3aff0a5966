"""Every knob of a run: its default, its unit and its check stand here once.

The steps, the DAGs, the command line and `docs/config.md` all read this file. It imports no torch and no kfp.
"""

from pathlib import PurePosixPath
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

Optimizer = Literal["adamw", "adam", "sgd", "gd", "rmsprop"]
Loss = Literal["cross_entropy", "mse"]
Augmentation = Literal["none", "shift", "flip", "crop"]
Fraction = Annotated[float, Field(ge=0, le=1)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
NotNegative = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1)]


def _odd(value: int) -> int:
    if value % 2 == 0:
        raise ValueError(f"{value} is even; a kernel needs a middle, expected an odd number of pixels")
    return value


Kernel = Annotated[int, Field(ge=1, le=11), AfterValidator(_odd)]


class Knobs(BaseModel):
    """Base of all config sections: an unknown key is refused, a value never changes after its check."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class Data(Knobs):
    """Raw labelled data and how much of it to take."""

    data: str | None = None
    """Folder, archive or file, local or gs://; `builtin:digits/clean` and `builtin:digits/scanned` need no download."""
    format: str = "auto"
    """How to read it: `auto` looks at what is there; else a name from `graftline formats`."""
    name: str | None = None
    """What to call this task in tables and logs; by default made from `data` or `init`."""
    classes: list[str] | None = None
    """Keep only these classes, in this order; by default all, sorted."""
    train_per_class: Count | None = None
    """Training images a class at most, drawn by `seed`; by default all."""
    val_per_class: Count | None = None
    """Validation images a class at most, drawn by `seed`; by default all."""
    test_per_class: Count | None = None
    """Test images a class at most, drawn by `seed`; by default all."""
    val_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the images that becomes validation where the data gives no validation split."""
    test_fraction: Annotated[float, Field(gt=0, lt=0.5)] = 0.15
    """Share of the images that becomes test where the data gives no test split."""
    max_dropped: Fraction = 0.05
    """Share of files that may be unreadable (they are counted, listed and dropped) before the data is refused."""


class Target(Data):
    """The task that the model is for."""

    data: str
    """As for a source."""

    @property
    def label(self) -> str:
        """Short name for tables, logs and file names: `name`, else made from `data`."""
        return self.name or _stem(self.data)


class Source(Data):
    """Where the first weights come from: `init`, then, if `data` is given, training on it."""

    init: str = "random"
    """`random`, `DEFAULT` (torchvision's own weights), a state dict file, or a graftline checkpoint; local or gs://."""
    backbone: str | None = None
    """Another backbone than the run's."""

    @property
    def label(self) -> str:
        """Short name for tables, logs and file names: `name`, else made from `data` or `init`."""
        return self.name or _stem(self.data or self.init)


class Head(Knobs):
    """What stands on the backbone's pooled features."""

    hidden: list[Count] = []
    """Units of hidden layers with ReLU before the last linear layer; the articles' head is `[1024]`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the units dropped before each linear layer while training."""


class Small(Knobs):
    """Shape of the articles' small networks; torchvision's backbones take nothing from here."""

    widths: list[Count] | None = None
    """Units (mlp, rnn) or channels (cnn) a layer; by default mlp [256, 128], cnn [32, 64, 128], rnn [128]."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Activation after each layer (mlp, cnn); the rnn's gated units have their own."""
    pooling: Literal["max", "average"] = "max"
    """Pooling after each convolution (cnn)."""
    kernel: Kernel = 3
    """Side of the convolution kernels in pixels, odd (cnn)."""


class Training(Knobs):
    """How weights are trained; what is None is chosen from the strategy and the size of the data."""

    optimizer: Optimizer = "adamw"
    """`gd` is plain gradient descent: every step sees the whole training split, no momentum."""
    learning_rate: Positive | None = None
    """Peak rate; by default 1e-3 for new layers and 1e-4 for carried ones with adaptive optimizers, 10x that else."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """For sgd and rmsprop."""
    epochs: Count | None = None
    """Passes over the training split; by default from the number of images."""
    batch_size: Count = 32
    """Images a step."""
    weight_decay: NotNegative = 0.01
    """Decoupled decay (adamw), else L2 in the gradient; never on biases and norm layers."""
    l2: NotNegative = 0.0
    """lambda of loss + lambda |w|^2 over all trained weights; the articles' lambda is this times the image count."""
    loss: Loss = "cross_entropy"
    """`mse` compares softmax probabilities with one-hot (or soft) labels."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of each label spread over all classes: soft labels."""
    augment: Augmentation | None = None
    """By default `shift` under 64 pixels (digits keep their hand), `crop` (random crop and mirror) else."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Course of the learning rate after a short warm-up."""


class Control(Knobs):
    """The same network trained from random weights, which the transfer has to beat."""

    learning_rates: Annotated[list[Positive], Field(min_length=3)] = [3e-4, 1e-3, 3e-3]
    """Tried in a first part, and beyond where the best is an outermost one; the best on validation trains on."""
    patience: Count = 10
    """Looks at validation without improvement before it counts as converged."""
    max_presentations: Count | None = None
    """Caps the images shown by hand; stopped by it while improving, a control is 'not converged': never positive."""


class Zero(Knobs):
    """The source model, head included, as it is."""

    name: Literal["zero"] = "zero"


class Feature(Knobs):
    """Frozen backbone, features once, a new head trained to convergence."""

    name: Literal["feature"] = "feature"


class Partial(Knobs):
    """First layers carried over and frozen, the rest trained."""

    name: Literal["partial"] = "partial"
    carry: Annotated[int, Field(ge=0)] | str | None = None
    """Layers taken from the source: how many from the input, or the name of the last one; by default all."""
    freeze: Annotated[int, Field(ge=0)] | str | None = None
    """Layers not trained, likewise; by default half of them."""


class Staged(Knobs):
    """The head to convergence, then layers from the top with decayed rates."""

    name: Literal["staged"] = "staged"
    stages: Annotated[int, Field(ge=1, le=8)] = 3
    """In how many steps the backbone's layers join, from the top."""
    decay: Annotated[float, Field(gt=0, le=1)] = 0.5
    """Factor on the learning rate from one group of layers to the next one below."""


class Full(Knobs):
    """Every layer carried over and trained."""

    name: Literal["full"] = "full"


class Structure(Knobs):
    """The source's architecture, changed where asked, with weights drawn anew."""

    name: Literal["structure"] = "structure"
    width: Positive = 1.0
    """Factor on the widths of mlp, cnn, rnn, and of torchvision backbones that take `width_mult`."""
    depth: Annotated[int, Field(ge=-8, le=8)] = 0
    """Layers added (or, below 0, removed) at the end of mlp, cnn, rnn."""
    kernel: Kernel | None = None
    """Side of the cnn's kernels."""
    stem: Literal["keep", "small"] = "keep"
    """`small` makes the first convolution 3x3, stride 1, without pooling behind it: for images of 32 pixels."""


Strategy = Annotated[Zero | Feature | Partial | Staged | Full | Structure, Field(discriminator="name")]


class Gate(Knobs):
    """Floors that the file that ships must hold on the test split; None is not judged."""

    min_accuracy: Fraction | None = None
    """Floor of accuracy."""
    min_macro_f1: Fraction | None = None
    """Floor of macro F1."""
    min_class_recall: Fraction | None = None
    """Floor of every class's recall."""
    max_ece: Fraction | None = None
    """Ceiling of the debiased expected calibration error."""
    beat_baselines: bool = True
    """Hold back a model not clearly better than the majority class, or clearly worse than the forest."""
    require_positive_gain: bool = False
    """Hold back a model whose transfer gain is not positive."""


class Config(Knobs):
    """A whole run."""

    source: list[Source] = [Source(init="DEFAULT")]
    """One source or a list of them: each is a candidate."""
    target: Target
    """The target task."""
    task: Literal["classification", "regression", "multilabel"] = "classification"
    """What is predicted; this version does classification."""
    backbone: str = "mobilenet_v2"
    """Any torchvision classifier by name, or mlp, cnn, rnn."""
    small: Small = Small()
    """Shape of mlp, cnn and rnn."""
    head: Head = Head()
    """The new head."""
    strategies: Annotated[list[Strategy], Field(min_length=1)] = [Feature(), Staged(), Full()]
    """Names, or one-key mappings with options: `[feature, {partial: {freeze: 8}}]`; the control is always run."""
    image_size: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Side in pixels that images are resized to; by default their own up to 64 where all agree, else 224."""
    pretrain: Training = Training()
    """Training on the source's data."""
    finetune: Training = Training()
    """Training on the target's data."""
    control: Control = Control()
    """The control."""
    confirm_seeds: Annotated[int, Field(ge=1, le=20)] = 3
    """Seeds that the chosen candidate and the control are trained with, the first one included."""
    delta: Annotated[float, Field(ge=0, lt=0.5)] = 0.01
    """Gain in accuracy that counts: verdicts and the gate leave this much room (0.01 is one point)."""
    gate: Gate = Gate()
    """Floors for the release."""
    store: str | None = None
    """Folder or gs:// prefix where releases live; by default only the run's own folder."""
    seed: Annotated[int, Field(ge=0, lt=2**31)] = 0
    """Draws splits, weights, batches and bootstraps."""

    @field_validator("source", mode="before")
    @classmethod
    def _list_of_sources(cls, value: Any) -> Any:
        return value if isinstance(value, list) else [value]

    @field_validator("strategies", mode="before")
    @classmethod
    def _short_strategies(cls, value: Any) -> Any:
        if value == "auto":
            raise ValueError("'auto' is not there yet; list strategies, such as [feature, staged, full]")
        return [_long_strategy(item) for item in (value if isinstance(value, list) else [value])]

    @field_validator("task")
    @classmethod
    def _known_task(cls, value: str) -> str:
        if value != "classification":
            raise ValueError(f"{value!r} is not there yet; this version does 'classification'")
        return value

    @model_validator(mode="after")
    def _distinct(self) -> "Config":
        labels = [source.label for source in self.source]
        if not labels:
            raise ValueError("source: an empty list; give at least one source, `init: random` if there is none")
        if twice := {label for label in labels if labels.count(label) > 1}:
            raise ValueError(f"source: {sorted(twice)} name more than one source; set `name:` on each")
        return self


def _stem(place: str) -> str:
    return PurePosixPath(place.removeprefix("builtin:").rstrip("/")).name.split(".")[0] or "data"


def _long_strategy(item: Any) -> Any:
    if isinstance(item, str):
        return {"name": item}
    if isinstance(item, dict) and len(item) == 1 and "name" not in item:
        name, options = next(iter(item.items()))
        return {"name": name, **(options or {})}
    return item
