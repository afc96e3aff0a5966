"""Settings of training: the head, the small networks, the optimizer, the control."""

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
    """Layers on the backbone's pooled features."""

    hidden: list[Count] = []
    """Units of hidden layers with ReLU before the last linear layer; `[1024]` in the articles."""
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    """Dropout probability before each linear layer."""


class Small(Settings):
    """Architecture of the articles' small networks; does not apply to other backbones."""

    widths: list[Count] | None = None
    """Units (mlp, rnn) or channels (cnn) per layer; by default mlp [256, 128], cnn [32, 64, 128], rnn [128]."""
    activation: Literal["relu", "tanh", "sigmoid"] = "relu"
    """Activation after each layer (mlp, cnn); does not apply to the gated units of the rnn."""
    pooling: Literal["max", "average"] = "max"
    """Pooling after each convolution (cnn)."""
    kernel: Kernel = 3
    """Kernel size of the convolutions in pixels, odd (cnn)."""


class Training(Settings):
    """How weights are trained; values of None are chosen from the strategy and the size of the data."""

    optimizer: Optimizer = "adamw"
    """Optimizer. `gd` is plain gradient descent: every step uses the entire training split, without momentum."""
    learning_rate: Positive | None = None
    """Peak learning rate, also of transferred layers unless `carried_rate` is set; by default 1e-3 with adaptive
    optimizers, 10 times that with others."""
    carried_rate: Positive | None = None
    """Peak learning rate of layers with transferred weights; by default 2e-4 (small networks 3e-4, attention 3e-5) with
    adaptive optimizers, 10 times that with others."""
    rate_factor: Positive = 1.0
    """Factor on the peak learning rates, whether chosen or set; a tournament varies it."""
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.9
    """Momentum of `sgd` and `rmsprop`."""
    epochs: Count | None = None
    """Passes over the training split; by default chosen from the number of images."""
    batch_size: Count = 32
    """Images per step."""
    weight_decay: NotNegative | None = None
    """Decoupled weight decay (`adamw`), or L2 in the gradient (others); never applied to biases and norm layers; by
    default chosen from the number of images."""
    l2: NotNegative = 0.0
    """Value of lambda in loss + lambda |w|^2 over all trained weights; the articles' lambda is this times the number of
    images."""
    loss: Loss = "cross_entropy"
    """`cross_entropy` selects the default loss of the task: mean squared error for regression, binary cross-entropy for
    multilabel. `mse` compares softmax probabilities with one-hot (or soft) labels; `huber` is for regression with
    outliers."""
    label_smoothing: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Share of each label spread over all classes; by default chosen from the numbers of images and classes."""
    augment: Augmentation | None = None
    """Augmentation; by default `shift` below 64 pixels (no flips, which would change digits), else `crop` (random crop
    and horizontal flip)."""
    mixup: NotNegative | None = None
    """Parameter of the beta distribution of mixup, 0 to disable it; by default chosen from the number of images."""
    cutmix: NotNegative | None = None
    """Parameter of the beta distribution of cutmix; if both are set, each batch uses one of them."""
    ema: Annotated[float, Field(ge=0, lt=1)] | None = None
    """Decay per step of the moving average of the weights, which is the result; 0: the last weights are kept; by
    default chosen from the number of steps."""
    patience: Annotated[int, Field(ge=0)] | None = None
    """Validation checks without improvement before training stops; the best weights are kept. 0: train for all epochs
    and keep the last weights; by default chosen from the size of the validation split."""
    balance: Balance | None = None
    """Handling of imbalanced classes: `weights` in the loss, or a `sampler` that draws rare classes more often; by
    default chosen from the imbalance."""
    resolution: Annotated[int, Field(ge=8, le=1024)] | None = None
    """Side in pixels of the network's input, resized on the device; by default chosen from the images and the
    backbone."""
    precision: Precision = "auto"
    """Precision of forward passes. `auto` times a few steps in float32 and bfloat16; it uses bfloat16 if that is faster
    and the gradients agree."""
    layout: Layout = "auto"
    """Memory layout of images and convolutions; `auto` times both and uses the faster one."""
    compile: bool = False
    """Compiles the backbone with torch.compile, for long trainings on GPUs; requires a C++ compiler, and takes about a
    minute before the first step."""
    micro_batch: Count | None = None
    """Images per forward pass; gradients are accumulated over the batch. By default the entire batch, halved when
    memory runs out."""
    processes: Count | None = None
    """Number of processes that share each batch; by default one per GPU, or one without a GPU."""
    schedule: Literal["cosine", "constant"] = "cosine"
    """Learning rate schedule after a short warm-up."""


class Control(Settings):
    """Training of the control: the same network from random weights, with which transfer is compared."""

    learning_rates: Annotated[list[Positive], Field(min_length=3)] = [3e-4, 1e-3, 3e-3]
    """Peak learning rates to try first, extended if the best is the smallest or largest; training continues with the
    best one on validation."""
    patience: Count = 10
    """Validation checks without improvement after which the control has converged."""
    max_examples_seen: Count | None = Field(
        None, validation_alias=AliasChoices("max_examples_seen", "max_presentations")
    )
    """Maximum number of training images seen; a control that reaches it while improving is 'not converged', and its
    transfer gain is never positive."""
