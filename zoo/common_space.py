"""A common space: two autoencoders, one language of codes. `python zoo/common_space.py`; `--help` lists the flags.

The idea. CycleGAN's way from A to B, cut in two: an encoder E_A makes a picture of A into a code, a decoder D_B a code
into a picture of B. Each domain has both, an autoencoder of its own, and D_B(E_A(a)) translates. But two autoencoders
have two languages: what is a 3 in one may be a 7 in the other. Five ways to make them one (`--constraint`; `none` is to
compare with):

    shared   the layers next to the code are the same ones (Liu et al. 2017, UNIT, arXiv 1703.00848)
    domain   a discriminator guesses the domain from the code, encoders fool it (Ganin et al. 2015, arXiv 1505.07818)
    both     these two at once, as in XGAN; Ganin's encoder is wholly one for both domains
    cycle    D_A(E_B(D_B(E_A(a)))) is a again: the whole way round (Anoosheh et al. 2017, ComboGAN, arXiv 1712.06909)
    code     E_B(D_B(E_A(a))) is E_A(a) again: three quarters of it (Royer et al. 2017, XGAN, arXiv 1711.05139)

Noise on the codes. While they train, decoders and the discriminator of codes get E(x) + ε, ε ~ N(0, 1), where the
code's own numbers have the mean square 1 (UNIT, section 3; left out below). Without it a code can say in faint numbers
which domain it is of, and each decoder keeps a language of its own: of `domain`'s codes 11% find their partner's after
2,000 updates, with noise 94%. `shared` alone is worse with it (`zoo/README.md`). `--code-noise 0` turns it off.

The formulas, L the likeness (`--likeness`), C the constraint, s_A and s_B the scores of discriminators of pictures,
without which a translation need not look like anything:

    s_A, s_B   min  ½ mean (s_A(a) - 1)² + ½ mean s_A(D_A(E_B(b)))² + ½ mean (s_B(b) - 1)² + ½ mean s_B(D_B(E_A(a)))²
    E, D       min  10 (L(D_A(E_A(a)), a) + L(D_B(E_B(b)), b)) + weight · C
                     + ½ mean (s_B(D_B(E_A(a))) - 1)² + ½ mean (s_A(D_A(E_B(b))) - 1)²

A code is 8 maps of 8x8, as ComboGAN's and UNIT's are maps: what is at the top of a picture is at the top of its code.
With `--code vector` it is 64 numbers, which have no places; then, without noise, only `shared` keeps the digits
(`docs/permuted-classes.md`).

What differs from the papers: small networks; two constraints at most, where XGAN has three. Codes have one length, or
`code` could be satisfied by shrinking them. Each picture is normed by itself: BatchNorm would see one domain at a time
and later their mixture, and without any norm l1 ends at all black, the median of nearly every pixel.

What to look at. Rows: A, translated, back; then from B. `commands.evaluate` asks whether the nearest code of B to that
of an unseen a is its true partner's, or at least of its digit, and whether digits stay what they are.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Literal

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from common.game import Batch, Yardstick, adams
from common.init import weights_init
from common.judging.reference import Reference
from common.losses import least_squares, non_saturating
from common.machine.activations import LeakyReLU, ReLU
from common.machine.convolutions import Conv2D, Conv2DTranspose
from common.settings import Decay, Rate, Weight
from common.train import run
from zoo.shared.codes import known_by_neighbour
from zoo.shared.domains import two_domains
from zoo.shared.layers import dense, patches
from zoo.shared.likeness import LIKENESS, l2
from zoo.shared.readers import unseen_pictures
from zoo.shared.rows import row
from zoo.shared.translation import Translation

import numpy as np
import paddle
from paddle import Tensor, nn
from paddle.nn.functional import normalize

Pair = tuple[Tensor, Tensor]  # of A and of B
WIDTH = 32  # channels beside the picture
SHARED, GUESSED = ("shared", "both"), ("domain", "both")  # constraints with shared layers, a discriminator of codes
OWN, COMMON = 5, 6  # where layers are shared: an encoder's first ones are its own; a decoder's first ones are both's


class Unit(nn.Layer):
    """Codes to one length, that of normal numbers."""

    def forward(self, code: Tensor) -> Tensor:
        """`[N, C, H, W]` to the same shape."""
        flat = code.flatten(1)
        return (normalize(flat, axis=1) * flat.shape[1] ** 0.5).reshape(code.shape)


def normed(convolution: nn.Layer, channels: int, activation: nn.Layer) -> list[nn.Layer]:
    """A convolution; each picture's maps brought to mean 0 and variance 1; an activation."""
    return [convolution, nn.GroupNorm(1, channels), activation]


def encoder(code: str) -> nn.Sequential:
    """Pictures `[N, 1, 32, 32]` to codes: `[N, 8, 8, 8]`, or `[N, 64, 1, 1]` for "vector"."""
    layers = [Conv2D(1, WIDTH, 4, stride=2, padding=1), LeakyReLU(0.2)]
    layers += normed(Conv2D(WIDTH, 2 * WIDTH, 4, stride=2, padding=1), 2 * WIDTH, LeakyReLU(0.2))  # to 8x8
    if code == "vector":
        layers += normed(Conv2D(2 * WIDTH, 4 * WIDTH, 4, stride=2, padding=1), 4 * WIDTH, LeakyReLU(0.2))  # to 4x4
        layers += [Conv2D(4 * WIDTH, 64, 4)]
    else:
        layers += normed(Conv2D(2 * WIDTH, 2 * WIDTH, 3, padding=1), 2 * WIDTH, LeakyReLU(0.2))
        layers += [Conv2D(2 * WIDTH, 8, 3, padding=1)]
    return nn.Sequential(*layers, Unit())


def decoder(code: str) -> nn.Sequential:
    """Codes to pictures."""
    if code == "vector":
        layers = normed(Conv2DTranspose(64, 4 * WIDTH, 4), 4 * WIDTH, ReLU())  # to 4x4
        layers += normed(Conv2DTranspose(4 * WIDTH, 2 * WIDTH, 4, stride=2, padding=1), 2 * WIDTH, ReLU())
    else:
        layers = normed(Conv2D(8, 2 * WIDTH, 3, padding=1), 2 * WIDTH, ReLU())
        layers += normed(Conv2D(2 * WIDTH, 2 * WIDTH, 3, padding=1), 2 * WIDTH, ReLU())
    layers += normed(Conv2DTranspose(2 * WIDTH, WIDTH, 4, stride=2, padding=1), WIDTH, ReLU())
    return nn.Sequential(*layers, Conv2DTranspose(WIDTH, 1, 4, stride=2, padding=1), nn.Tanh())


class CommonSpace(Translation):
    """Two autoencoders, which move as one, against discriminators of each domain and, for `domain`, of codes.

    Args:
        domains: what B is; A is the data set
        constraint: what makes the two codes one language
        weight: of the constraint
        likeness: how reconstructions are compared: by pixels, or by what the judge of MNIST sees
        code: 8 maps of 8x8, or 64 numbers without places
        code_noise: the standard deviation of the noise on the codes
        learning_rate: Adam's step size for the autoencoders
        learning_rate_d: Adam's step size for the discriminators
        beta1: Adam's first decay rate, all networks
    """

    def __init__(
        self,
        domains: Literal["thick", "edge", "digits", "invert", "rotate"] = "edge",
        constraint: Literal["both", "shared", "domain", "cycle", "code", "none"] = "both",
        weight: Weight = 1.0,
        likeness: Literal["l1", "l2", "perceptual"] = "l1",
        code: Literal["map", "vector"] = "map",
        code_noise: Weight = 1.0,
        learning_rate: Rate = 5e-4,
        learning_rate_d: Rate = 2e-4,
        beta1: Decay = 0.5,
    ) -> None:
        self.domains, self.constraint, self.weight, self.unlike = domains, constraint, weight, LIKENESS[likeness]
        self.code_noise, self.code_shape = code_noise, (64, 1, 1) if code == "vector" else (8, 8, 8)
        self.e_a, self.e_b, self.d_a, self.d_b = (make(code) for make in (encoder, encoder, decoder, decoder))
        if constraint in SHARED:  # the layers next to the code
            self.e_b = nn.Sequential(*self.e_b[:OWN], *self.e_a[OWN:])
            self.d_b = nn.Sequential(*self.d_a[:COMMON], *self.d_b[COMMON:])
        self.there, self.back = nn.Sequential(self.e_a, self.d_b), nn.Sequential(self.e_b, self.d_a)
        self.s_a, self.s_b = (patches(2, channels=1).apply(weights_init) for _ in range(2))
        coders = {"encoder_a": self.e_a, "encoder_b": self.e_b, "decoder_a": self.d_a, "decoder_b": self.d_b}
        discriminators = {"discriminator_a": self.s_a, "discriminator_b": self.s_b}
        if constraint in GUESSED:
            guess = nn.Sequential(nn.Flatten(), *dense(int(np.prod(self.code_shape)), 256, 256, 1))
            self.guess = discriminators["discriminator_code"] = guess
        self.networks = {**coders, **discriminators}
        coders, discriminators = (nn.LayerList([*networks.values()]) for networks in (coders, discriminators))
        self.optimizers = adams({"autoencoders": coders}, learning_rate, beta1, 0.999)
        self.optimizers |= adams({"discriminators": discriminators}, learning_rate_d, beta1, 0.999)

    def update(self, batch: Batch) -> dict[str, Tensor]:
        """The autoencoders; then all discriminators, with the same codes and translations."""
        a, b = two_domains(batch, self.domains)
        noise = [part.draw(self.noises) for part in batch.split(2)]  # of the codes of a, and of b
        with self.turn("autoencoders"):
            codes = self.e_a(a), self.e_b(b)
            code_a, code_b = codes[0] + noise[0], codes[1] + noise[1]
            fake_b, fake_a = self.d_b(code_a), self.d_a(code_b)
            rebuilt = self.unlike(self.d_a(code_a), a) + self.unlike(self.d_b(code_b), b)
            fooled = least_squares.generator(self.s_b(fake_b)) + least_squares.generator(self.s_a(fake_a))
            constraint = self.constrain((a, b), codes, noise, (fake_a, fake_b))
            loss_g = 10 * rebuilt + fooled + self.weight * constraint
            loss_g.backward()
        with self.turn("discriminators"):
            real, fake = [self.s_a(a), self.s_b(b)], [self.s_a(fake_a.detach()), self.s_b(fake_b.detach())]
            losses = {"loss_d": sum(least_squares.discriminator(*scores) for scores in zip(real, fake))}
            if self.constraint in GUESSED:
                guessed = [self.guess(code.detach()) for code in (code_a, code_b)]
                losses["loss_code"] = non_saturating.discriminator(*guessed)
            sum(losses.values()).backward()
        scores = {"score_real": paddle.concat(real), "score_fake": paddle.concat(fake)}
        return row(**losses, loss_g=loss_g, rebuilt=rebuilt, constraint=constraint, **scores)

    def noises(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """What is added to `count` codes, `[count, *code_shape]`."""
        return self.code_noise * rng.standard_normal((count, *self.code_shape), dtype=np.float32)

    def constrain(self, pictures: Pair, codes: Pair, noise: Pair, fakes: Pair) -> Tensor:
        """C, from pictures of A and of B, their codes, the noise on these, and the translations into A and into B."""
        if self.constraint in GUESSED:  # what the discriminator of codes minimises, with the domains swapped
            return non_saturating.discriminator(self.guess(codes[1] + noise[1]), self.guess(codes[0] + noise[0]))
        if self.constraint in ("shared", "none"):
            return paddle.zeros([])
        again = self.e_b(fakes[1]), self.e_a(fakes[0])
        if self.constraint == "code":
            return sum(map(l2, again, codes))
        home = self.d_a(again[0] + noise[0]), self.d_b(again[1] + noise[1])
        return 10 * sum(map(self.unlike, home, pictures))  # ten times, as the reconstruction

    def measure(self, reference: Reference, run_dir: Path) -> dict[str, Yardstick]:
        """Whether codes mean the same in both domains; whether digits stay what they are."""
        (a, digits_a), (b, digits_b) = unseen_pictures(reference, self.domains)
        codes_a, codes_b = self.apply(self.e_a, a), self.apply(self.e_b, b)
        meaning = f"floor: chance; share of unseen pictures of A for which the nearest of {len(b):,} codes of B is "
        kind = known_by_neighbour(codes_b, digits_b, codes_a, digits_a)
        found = {"codes know the digit": Yardstick(kind, 0.1, f"{meaning}of their digit")}
        if self.domains != "digits":
            partner = known_by_neighbour(codes_b, np.arange(len(b)), codes_a, np.arange(len(a)))
            found["codes know the partner"] = Yardstick(partner, 1 / len(b), f"{meaning}their true partner's")
        return {**found, **super().measure(reference, run_dir)}


build = CommonSpace

if __name__ == "__main__":
    sys.exit(run("common_space", build))
