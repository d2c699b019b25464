"""Hyper-parameters of Predicting Parameters, and what they come to for one layer."""

from typing import Annotated, Literal

from pydantic import Field

from methods.method import MethodConfig

Choice = Literal[
    "auto",
    "none",
    "low-rank",
    "random",
    "random-connections",
    "squared-exponential",
    "covariance",
    "covariance-squared",
    "autoencoder",
]
Share = Annotated[float, Field(gt=0.0, le=1.0)]
Epochs = Annotated[int, Field(ge=0, le=1000)]
Rate = Annotated[float, Field(gt=0)]
Scale = Annotated[float, Field(ge=1e-6, le=1e6)]
Size = Annotated[int, Field(ge=1, le=2**20)]
RANDOM_RANGE = 0.1
"""The fixed random factor is uniform within it (the authors' LowRankLinearFixedU)."""
LINEAR_RANGE, CONVOLUTION_RANGE = 0.1, 0.05
"""Where learned values start, uniformly (the authors' MNIST settings)."""


class PredictingParametersConfig(MethodConfig):
    """Hyper-parameters; the defaults are the authors' MNIST grid, "SE-AE"."""

    first: Choice = "auto"
    """The dictionary of the first layer. ``auto`` is the squared-exponential kernel where the
    inputs lie on a grid and their covariance where they do not."""
    others: Choice = "auto"
    """Of the layers behind it; ``auto`` is the squared-exponential kernel for convolutions and an
    autoencoder's for fully connected layers."""
    dictionaries: dict[str, Choice] = Field(default_factory=dict)
    """By the name of the layer, instead of ``first`` and ``others``."""
    share: Share = 0.25
    """p: the atoms of a layer are int(inputs * p). Of ``low-rank``, the learned share of weights,
    both factors counted."""
    shares: dict[str, Share] = Field(default_factory=dict)
    """By the name of the layer, instead of ``share``."""
    columns: Annotated[int, Field(ge=1, le=1000)] = 5
    """Groups of a fully connected layer's units with a draw of their own (1, 5 and 10 in the
    grid)."""
    convolution_columns: Annotated[int, Field(ge=1, le=1000)] = 8
    scale: Scale = 1.0
    """Of the squared-exponential kernel, in pixels."""
    convolution_scale: Scale = 3.0
    ridge: Annotated[float, Field(ge=1e-9, le=1e9)] = 0.1
    """Lambda."""
    covariance_ridge: Annotated[float, Field(ge=1e-9, le=1e9)] | None = None
    """Lambda of covariances over the mean variance of the layer's inputs; None: ``ridge`` as it
    stands, whatever their scale, as in the authors' code."""
    grid: tuple[Size, Size, Size] | None = None
    """Channels, rows and columns of the first layer's inputs, where the data are given flat."""
    init_range: Rate | None = None
    """Learned values start uniformly within it; None: 0.1, and 0.05 of convolutions. Both factors
    of a low-rank convolution, of which the authors have no settings, then start so that their
    product has the spread of 0.05: from smaller ones no training leaves the start."""
    dictionary_units: Annotated[int, Field(ge=1, le=65536)] = 1000
    """Hidden units of the autoencoder whose weights are the atoms."""
    dictionary_epochs: Epochs = 50
    dictionary_learning_rate: Rate = 0.1
    pretraining_epochs: Epochs = 50
    """Of each fully connected layer; 0: none."""
    pretraining_learning_rate: Rate = 0.1
    pretraining_momentum: Annotated[float, Field(ge=0, lt=1)] = 0.7
    pretraining_decay: Annotated[float, Field(ge=1)] = 1.00004
    """The rate is divided by it at each update."""
    pretraining_batch_size: Annotated[int, Field(ge=1, le=100_000)] = 100
    """Of both autoencoders; that of training is the task's."""
    train_epochs: Epochs = 100
    """Of the whole network."""
    learning_rate: Rate = 0.01
    momentum: Annotated[float, Field(ge=0, lt=1)] = 0.7
    weight_decay: Annotated[float, Field(ge=0)] = 5e-5
    """Coefficient of the sum of squares of learned weights (its gradient is twice that)."""
    schedule: Literal["constant", "cosine"] = "constant"
    """Of the rate of training; the authors' is constant."""
    max_norm: Rate = 1.9365
    """Of what each unit learns, its bias left out."""
    store: Literal["factors", "smallest"] = "smallest"
    """Whether a layer is stored densely where that takes fewer bytes than its factors: a
    dictionary made from data has to be stored too."""

    @property
    def epochs(self) -> int:
        return self.train_epochs


def atoms_of(inputs: int, share: float) -> int:
    """int(inputs * share), and one at least; 20 for 784 inputs and the share 20/784."""
    return max(1, min(inputs, int(inputs * share + 1e-9)))


def balanced_range(within: float, rank: int) -> float:
    """The range of both factors whose product of that rank has the variance of values drawn
    uniformly ``within``: r^4 rank / 9 = within^2 / 3."""
    return float((3 * within**2 / rank) ** 0.25)


def low_rank_of(inputs: int, outputs: int, share: float) -> int:
    """The greatest rank whose two factors hold at most that share of a layer's weights."""
    return max(1, int(inputs * outputs * share / (inputs + outputs) + 1e-9))
