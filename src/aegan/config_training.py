"""How the autoencoder and the GAN are built and trained: the sections `autoencoder` and `gan`."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, model_validator

from aegan.config_types import Count, Fraction, PositiveFloat, PositiveInt, Section, Share, Weight

Normalization = Literal["none", "batch", "layer", "group"]


class Architecture(Section):
    """What a network is built of."""

    network: Literal["dense", "conv", "recurrent"] = "dense"
    """`conv` is for images, `recurrent` for sequences, `dense` for anything."""
    hidden: list[PositiveInt] = Field(default=[512, 256])
    """From the data inwards: units of each dense or recurrent layer, or filters of each halving of the
    resolution (conv). What leads outwards mirrors it. Dense networks can do without: []."""
    activation: Literal["leaky_relu", "relu", "silu", "gelu"] = "leaky_relu"
    """Of hidden dense and conv layers; `leaky_relu` has slope 0.2 below zero."""
    cell: Literal["gru", "lstm"] = "gru"
    """Of recurrent layers."""
    resampling: Literal["strided", "bilinear"] = "strided"
    """How conv layers change the resolution: strided convolutions, or convolutions and interpolation."""
    normalization: Normalization = "none"
    """After each hidden layer."""
    dropout: Share = 0.0
    """Share of each hidden layer's outputs that is dropped in training."""


class Training(Architecture):
    """What the two training stages share."""

    batch: Literal["mini", "full"] = "mini"
    """`full` descends by the exact gradient over the whole training set at each step."""
    batch_size: PositiveInt = 256
    """Examples in a mini-batch."""
    micro_batch_size: PositiveInt = 1024
    """Examples that a full batch goes through at a time: bounds its memory. The exact gradient does not
    depend on it; what is drawn at random for an example (noise, dropout) does."""
    ghost_statistics: bool = False
    """Lets `batch` normalisation take the statistics of each micro-batch in a full batch (Hoffer et al.
    2017): the gradient is exact for that, and not for the statistics of the whole training set."""
    residency: Literal["auto", "resident", "streamed"] = "auto"
    """Whether the examples lie on the device or come from disk while training goes on; `auto`: they lie
    there if they take no more than a quarter of its memory."""
    steps: PositiveInt = 5000
    """The budget. A step updates the weights once; of a GAN, the discriminator's `discriminator_steps`
    times and the generator's `generator_steps` times."""
    optimizer: Literal["adam", "sgd", "rmsprop", "lbfgs"] = "adam"
    """With `weight_decay`, `adam` is AdamW. `lbfgs` is for the autoencoder in full batch; each of its
    steps tries one point of a search."""
    learning_rate: PositiveFloat = 1e-3
    """The highest that the schedule reaches."""
    schedule: Literal["constant", "cosine", "step"] = "cosine"
    """Over the budget of steps: `cosine` decays the learning rate to zero, `step` multiplies it by
    `step_factor` every `step_every` steps."""
    warmup_steps: Count = 0
    """Steps in which the learning rate rises to its highest."""
    step_every: PositiveInt | None = None
    """None: a third of the budget."""
    step_factor: Fraction = 0.1
    """Of the `step` schedule."""
    weight_decay: Share = 0.0
    """Decoupled weight decay (Loshchilov & Hutter 2017)."""
    momentum: Share = 0.0
    """Of `sgd` and `rmsprop`."""
    nesterov: bool = False
    """Nesterov's momentum, for `sgd`."""
    beta_1: Share = 0.9
    """Adam's decay of the first moment."""
    beta_2: Share = 0.999
    """Adam's decay of the second moment."""
    clip: Literal["none", "value", "norm", "global_norm"] = "none"
    """Against exploding gradients: bounds each value, the norm of each weight's gradient, or of all."""
    clip_at: PositiveFloat = 1.0
    """The bound of `clip`."""
    back_off: Count = 0
    """How often training goes back to the last evaluation, and on at half the learning rate, when a loss
    or a gradient is no longer finite."""
    checkpoint_seconds: PositiveFloat = 120.0
    """Wall-clock seconds between checkpoints."""
    preview_every: Count | None = None
    """Steps between previews, each made at the first evaluation from there. None: a tenth of the
    budget; 0: no previews."""
    precision: Literal["float32", "bfloat16"] = "float32"
    """Of the products in a training step: `bfloat16` is mixed precision, for GPUs that have tensor cores
    for it (Ampere and later). What is published computes in float32."""
    compiler: Literal["auto", "xla", "graph"] = "auto"
    """`auto` picks the faster for the network and the device (see `plans.use_xla`)."""


class Autoencoder(Training):
    """The autoencoder: minimises the mean error between x and decode(encode(x))."""

    kind: Literal["plain", "denoising", "variational"] = "plain"
    """`denoising` encodes a corrupted x (Vincent et al. 2008); `variational` draws the code from
    N(mean, variance) and keeps that near N(0, I) (Kingma & Welling 2013)."""
    latent_size: PositiveInt = 32
    """Numbers in a code."""
    error: Literal["squared", "absolute"] = "squared"
    """Of each value of a reconstruction. `absolute` asks for the median of what a value may be instead
    of its mean: edges are sharper, what is mostly empty is empty, and samples look more like the data;
    the mean squared error is somewhat larger."""
    code_activation: Literal["linear", "relu"] = "linear"
    """Of the encoder's last layer."""
    noise: Literal["gaussian", "masking"] = "gaussian"
    """How `denoising` corrupts: adds normal noise, or sets values to zero."""
    noise_level: PositiveFloat = 0.3
    """Deviation of the normal noise in normalised units, or the share of values that is masked."""
    beta: Weight = 0.02
    """Weight of the divergence of a `variational` code from N(0, I); 1 is the bound on the likelihood
    for a normal decoder of variance 1 (`error: absolute`: for a Laplace decoder of scale 1), and images
    in [0, 1] are known far better than that."""
    free_bits: Weight = 0.0
    """Nats of each code that cost nothing (Kingma et al. 2016)."""
    sparsity: Weight = 0.0
    """Weight of the mean absolute code."""
    contraction: Weight = 0.0
    """Weight of the squared norm of the encoder's Jacobian (Rifai et al. 2011), divided by the number of
    values in an example."""
    texture: Weight = 0.0
    """Weight of the error in how strong each frequency is in each neighbourhood of an image, which keeps
    reconstructions and samples from being blurred (see `aegan.texture`)."""
    validate_every: PositiveInt | None = None
    """Steps between evaluations of the validation loss. None: as many as give 10 to 50 evaluations,
    fewer where they would take more than a hundredth of the training."""
    patience: PositiveInt | None = None
    """Stop after this many evaluations without a better validation loss; none: never."""


OF_RATIOS = ("relativistic", "minimax", "non_saturating")
"""Objectives of which the best discriminator's logit is a logarithm of the ratio of both densities."""


class Gan(Training):
    """The generative adversarial network, on the autoencoder's codes or on the data itself."""

    space: Literal["latent", "data"] = "latent"
    """What the GAN generates: codes, which the autoencoder decodes, or examples."""
    prior: Literal["mixture", "normal"] = "mixture"
    """What the generator starts from: a Gaussian mixture fitted to the codes, or N(0, I)."""
    components: PositiveInt = 50
    """Components of the Gaussian mixture (also the baseline that the GAN has to beat)."""
    noise_size: PositiveInt = 16
    """Normal dimensions drawn besides the mixture's, or all of them with `prior: normal`."""
    conditional: bool = False
    """Trains on the labels, too, so that samples of a class can be asked for: `sample(label=…)`."""
    augment: list[Literal["color", "translation", "cutout"]] = Field(default=[])
    """Changes real and generated images at random before the discriminator sees them, which small sets
    of images need (Zhao et al. 2020)."""
    hidden: list[PositiveInt] = Field(default=[256, 256, 256])
    """As in `autoencoder`; of the discriminator, and of the generator the other way round."""
    objective: Literal[
        "relativistic", "minimax", "non_saturating", "least_squares", "hinge", "wasserstein"
    ] = "relativistic"
    """The game's loss, as described in `objectives.py`."""
    gamma: Weight = 0.3
    """Weight of the zero-centred gradient penalties R1 and R2 on the discriminator (gamma/2 each)."""
    interpolation_penalty: Weight = 0.0
    """Weight of the penalty on gradients between real and generated samples whose norm is not 1
    (Gulrajani et al. 2017)."""
    learning_rate: Weight = 2e-4
    """The highest that the generator's schedule reaches. 0: it stays at the mixture, and only the
    discriminator learns, to choose among its draws (`draws_per_sample`)."""
    beta_1: Share = 0.0
    """Adam's decay of the first moment, for both networks."""
    beta_2: Share = 0.99
    """Adam's decay of the second moment, for both networks."""
    discriminator_learning_rate: PositiveFloat | None = None
    """None: that of the generator."""
    discriminator_steps: PositiveInt = 1
    """Steps of the discriminator before the generator's, each on a batch of its own."""
    generator_steps: PositiveInt = 1
    """Steps of the generator after the discriminator's: the first on the samples of its last step, each
    further one on samples of its own; all beside the batch of that last step."""
    discriminator_normalization: Normalization = "none"
    """After each hidden layer of the discriminator."""
    discriminator_dropout: Share = 0.0
    """Share of each of its hidden layers' outputs that is dropped in training."""
    spectral_normalization: bool = False
    """Divides each weight matrix of a dense or conv discriminator by its largest singular value (Miyato
    et al. 2018)."""
    validate_every: PositiveInt | None = None
    """Steps between records of the history; None: a fiftieth of the budget."""
    patience: PositiveInt | None = None
    """Stop after this many records without a smaller Fréchet distance of the samples' codes to those of
    the validation split, and keep the weights of the smallest; none: never, and keep the last. Where
    the discriminator is to choose among draws, it does, by its logits as they are: `draws_per_sample`
    times 5000 draws for each record."""
    ema_decay: Share = 0.999
    """Decay of the moving average of the generator's weights, which is what is published."""
    draws_per_sample: PositiveInt = 1
    """How many times the generator draws for each sample of the published model. One of them is chosen
    at random, each with the weight exp(logit) of the discriminator, which estimates how much denser the
    data is there than what is generated (Rubin 1987; Azadi et al. 2019), calibrated on the validation
    split (Turner et al. 2019). The mixture that it draws from is widened to what makes that split most
    likely."""

    @property
    def generator_learns(self) -> bool:
        """Whether it leaves what it starts from."""
        return self.learning_rate > 0

    @property
    def discriminator(self) -> Architecture:
        """What the discriminator is built of."""
        return Architecture(
            network=self.network,
            hidden=self.hidden,
            activation=self.activation,
            cell=self.cell,
            resampling=self.resampling,
            normalization=self.discriminator_normalization,
            dropout=self.discriminator_dropout,
        )

    @model_validator(mode="before")
    @classmethod
    def _defaults_of_the_choice(cls, values: Any) -> Any:
        """What goes with a choice unless it is set: no mixture in data space, one penalty at a time."""
        if not isinstance(values, dict):
            return values
        values = dict(values)
        if values.get("space") == "data":
            values.setdefault("prior", "normal")
            values.setdefault("objective", "non_saturating")
            values.setdefault("beta_1", 0.5)
            if values.get("network") == "conv":
                # Statistics of one sample only: no state to average, no leak between samples.
                values.setdefault("normalization", "group")
        if values.get("objective", "relativistic") != "relativistic":
            values.setdefault("gamma", 0.0)
        if values.get("objective") == "wasserstein":
            values.setdefault("interpolation_penalty", 10.0)
        return values
