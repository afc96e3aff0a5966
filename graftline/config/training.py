"""Knobs of training: the head, the small networks, the optimizer, the control."""

from typing import Annotated, Literal

from pydantic import AliasChoices, Field

from graftline.config.base import Count, Kernel, NotNegative, Positive, Settings

Optimizer = Literal["adamw", "adam", "sgd", "gd", "rmsprop"]
Loss = Literal["cross_entropy", "mse", "huber"]
Augmentation = Literal["none", "shift", "flip", "crop"]
Balance = Literal["none", "weights", "sampler"]
Precision = Literal["auto", "fp32", "bf16"]
Layout = Literal["auto", "channels_last", "contiguous"]


class Head(Settings):
    """What stands on the backbone's pooled features."""

    hidden: list[Count] = []
    """Units of hidden layers with ReLU before the last linear layer; the articles' head is `[1024]`."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Share of the units dropped before each linear layer while training."""


class Small(Settings):
    """Shape of the articles' small networks; torchvision's backbones take nothing from here."""

    widths: list[Count] | None = None
    """Units (mlp, rnn) or channels (cnn) a layer; by default mlp [256, 128], cnn [32, 64, 128], rnn [128]."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Activation after each layer (mlp, cnn); the rnn's gated units have their own."""
    pooling: Literal["max", "average"] = "max"
    """Pooling after each convolution (cnn)."""
    kernel: Kernel = 3
    """Side of the convolution kernels in pixels, odd (cnn)."""


class Training(Settings):
    """How weights are trained; what is None is chosen from the strategy and the size of the data."""

    optimizer: Optimizer = "adamw"
    """`gd` is plain gradient descent: every step sees the whole training split, no momentum."""
    learning_rate: Positive | None = None
    """Peak rate, of carried layers too unless `carried_rate` is set; by default 1e-3 with adaptive optimizers, 10x that
    else."""
    carried_rate: Positive | None = None
    """Peak rate of layers with a source's weights; by default 2e-4 (small networks 3e-4, attention 3e-5) with adaptive
    optimizers, 10x that else."""
    rate_factor: Positive = 1.0
    """On the peak rates, chosen or given; what a tournament varies."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """For sgd and rmsprop."""
    epochs: Count | None = None
    """Passes over the training split; by default from the number of images."""
    batch_size: Count = 32
    """Images a step."""
    weight_decay: NotNegative | None = None
    """Decoupled decay (adamw), else L2 in the gradient; never on biases and norm layers; by default from the number of
    images."""
    l2: NotNegative = 0.0
    """lambda of loss + lambda |w|^2 over all trained weights; the articles' lambda is this times the image count."""
    loss: Loss = "cross_entropy"
    """`cross_entropy` stands for the task's own loss: regression takes mean squared errors, multilabel binary cross
    entropy. `mse` compares softmax probabilities with one-hot (or soft) labels; `huber` is for regression whose labels
    have outliers."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of each label spread over all classes: soft labels; by default from the number of images and classes."""
    augment: Augmentation | None = None
    """By default `shift` under 64 pixels (digits keep their hand), `crop` (random crop and mirror) else."""
    mixup: NotNegative | None = None
    """Parameter of the beta distribution that images are mixed by, 0 for none; by default from the number of images."""
    cutmix: NotNegative | None = None
    """Likewise for boxes of one image in another; where both are set, each batch takes one of them."""
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay a step of the moving average of the weights, which is what is kept; 0: the last weights are kept; by
    default from the number of steps."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """Looks at validation without improvement before training stops; the best weights are kept. 0: train to the end and
    keep the last; by default from the size of the validation split."""
    balance: Balance | None = None
    """What is done where classes are of unequal size: `weights` in the loss, or a `sampler` that shows rare ones more
    often; by default by how unequal they are."""
    resolution: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Side in pixels of the network's input, resized on the device; by default from the images and the backbone."""
    precision: Precision = "auto"
    """`auto` times a few steps in 32 bits and in bfloat16 and takes the faster one whose gradients agree."""
    layout: Layout = "auto"
    """Memory layout of images and convolutions; `auto` times both."""
    compile: bool = False
    """Trains through torch.compile, for long trainings on GPUs: it needs a C++ compiler, and a minute before the first
    step."""
    micro_batch: Count | None = None
    """Images that go through the network at once; gradients of a batch add up over its parts. By default the whole
    batch, halved where memory runs out."""
    processes: Count | None = None
    """Processes that share each batch; by default one a GPU, one without a GPU."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Course of the learning rate after a short warm-up."""


class Control(Settings):
    """The same network trained from random weights, which the transfer has to beat."""

    learning_rates: Annotated[list[Positive], Field(min_length=3)] = [3e-4, 1e-3, 3e-3]
    """Tried in a first part, and beyond where the best is an outermost one; the best on validation trains on."""
    patience: Count = 10
    """Looks at validation without improvement before it counts as converged."""
    max_examples_seen: Count | None = Field(
        None, validation_alias=AliasChoices("max_examples_seen", "max_presentations")
    )
    """Caps the images shown by hand; stopped by it while improving, a control is 'not converged': never positive."""
