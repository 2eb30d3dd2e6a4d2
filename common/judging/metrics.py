"""How far a set of generated images is from the real ones: pure functions of a judge's features and probabilities.

`real` and `fake` are features `[N, d]` and `[M, d]`; probabilities are `[M, 10]`, rows summing to 1. At the end, two
metrics of pixels, for what has an original: a reconstruction.
"""

from __future__ import annotations

from types import ModuleType

from common.errors import UserError
from common.language import _

import numpy as np
from numpy.linalg import eigh, eigvalsh

CONFIDENT = 0.9
K_COVERAGE = 5  # neighbours within which a real image is covered


def frechet_distance(
    mean_a: np.ndarray, covariance_a: np.ndarray, mean_b: np.ndarray, covariance_b: np.ndarray
) -> float:
    """The Fréchet distance of two Gaussians, as FID has it (Heusel et al. 2017, arXiv 1706.08500, equation 6).

    |μa - μb|² + Tr(Σa + Σb - 2 (Σa Σb)^½), 0 for equal ones. The trace of the root is computed from the eigenvalues of
    Σa^½ Σb Σa^½, which is symmetric and has those of Σa Σb: a covariance of few samples, singular, does no harm.
    """
    values, vectors = eigh(covariance_a)
    root = (vectors * np.sqrt(np.clip(values, 0, None))) @ vectors.T
    middle = root @ covariance_b @ root
    trace_of_root = np.sqrt(np.clip(eigvalsh((middle + middle.T) / 2), 0, None)).sum()
    distance = ((mean_a - mean_b) ** 2).sum() + np.trace(covariance_a) + np.trace(covariance_b) - 2 * trace_of_root
    return float(max(distance, 0.0))


def moments(features: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean `[d]` and unbiased covariance `[d, d]` of features `[N, d]`, in float64."""
    features = features.astype(np.float64)
    return features.mean(axis=0), np.cov(features, rowvar=False)


def kernel_distance(
    real: np.ndarray, fake: np.ndarray, rng: np.random.Generator, subsets: int = 50, size: int = 1000
) -> tuple[float, float]:
    """KID: the squared maximum mean discrepancy with the kernel (x·y/d + 1)³, unbiased (Bińkowski et al. 2018,
    arXiv 1801.01401, section 3 and equation 4).

    Returns:
        Mean and standard deviation over random subsets of `size` images each. Around 0 for equal distributions, and as
        often below it as above.
    """
    size = min(size, len(real), len(fake))
    estimates = [
        unbiased_mmd(real[rng.choice(len(real), size, replace=False)], fake[rng.choice(len(fake), size, replace=False)])
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def unbiased_mmd(x: np.ndarray, y: np.ndarray) -> float:
    """The estimate of one subset: kernel means within `x` and within `y` without the diagonal, less twice between."""

    def total(a: np.ndarray, b: np.ndarray) -> float:
        """Of the kernel over all pairs; one pass over their products takes half the time of three."""
        products = a @ b.T
        return np.einsum("ij,ij,ij->", products, products, products)

    # With a 1 behind each vector the kernel is the cube of a product.
    x, y = (np.c_[part.astype(np.float64) / part.shape[1] ** 0.5, np.ones(len(part))] for part in (x, y))
    within = sum((total(a, a) - ((a * a).sum(axis=1) ** 3).sum()) / (len(a) * (len(a) - 1)) for a in (x, y))
    return float(within - 2 * total(x, y) / (len(x) * len(y)))


def classifier_score(probabilities: np.ndarray) -> float:
    """The Inception Score's formula with our judge: exp E KL(p(y|x) ‖ p(y)) (Salimans et al. 2016, arXiv 1606.03498,
    section 4). From 1, every image alike to the judge, to 10, sure of each and all digits equally often."""
    probabilities = np.clip(probabilities.astype(np.float64), 1e-12, 1)
    divergence = (probabilities * np.log(probabilities / probabilities.mean(axis=0))).sum(axis=1)
    return float(np.exp(divergence.mean()))


def neighbour_metrics(
    real: np.ndarray, fake: np.ndarray, k: int = 3, k_coverage: int = K_COVERAGE, radii_real: np.ndarray | None = None
) -> dict[str, float]:
    """How the two sets lie in each other's neighbourhoods. Who compares several with the same `real` may give their
    `neighbour_distances`, of the larger k, as `radii_real`.

    - `precision`: share of fakes within the k-th neighbour distance of some real image: are they realistic?
      `recall`: the same the other way round: is everything real within reach? (Kynkäänniemi et al. 2019,
      arXiv 1904.06991, equations 1 and 2; k = 3)
    - `density`: mean number of real neighbourhoods a fake lies in, over k; `coverage`: share of real images with a fake
      in their neighbourhood (Naeem et al. 2020, arXiv 2002.09797, equations 3 and 4; k = 5). Density may exceed 1.
    """
    radius_fake = neighbour_distances(fake, k)[:, k - 1]
    radii_real = neighbour_distances(real, max(k, k_coverage)) if radii_real is None else radii_real
    precise = np.zeros(len(fake), bool)
    recalled, covered = np.zeros(len(real), bool), np.zeros(len(real), bool)
    inside = 0
    for start in range(0, len(real), 1000):  # in parts: the whole table would be 10,000 by 10,000
        part = slice(start, start + 1000)
        distances = squared_distances(real[part], fake)
        precise |= (distances <= radii_real[part, k - 1 : k]).any(axis=0)
        recalled[part] = (distances <= radius_fake).any(axis=1)
        within = distances <= radii_real[part, k_coverage - 1 : k_coverage]
        covered[part] = within.any(axis=1)
        inside += int(within.sum())
    return {
        "precision": float(precise.mean()),
        "recall": float(recalled.mean()),
        "density": inside / (k_coverage * len(fake)),
        "coverage": float(covered.mean()),
    }


def squared_distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Squared Euclidean distances `[N, M]`, float64 so that small ones are not lost in the difference."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.maximum((a**2).sum(axis=1)[:, None] + (b**2).sum(axis=1) - 2 * a @ b.T, 0)


def neighbour_distances(features: np.ndarray, k: int) -> np.ndarray:
    """Squared distances `[N, k]` of each row to its k nearest others."""
    # Without images to look from, a row is not its own neighbour. Larger by a hair, so that rounding does not put the
    # k-th neighbour outside.
    return nearest(features, k) ** 2 * (1 + 1e-9)


def nearest_distance(train: np.ndarray, fake: np.ndarray) -> float:
    """The median distance of `fake` to the nearest of `train`: far below what unseen real images have, the generator
    has memorised."""
    return float(np.median(nearest(train, 1, fake.astype(np.float64))))


def nearest(features: np.ndarray, k: int, seen_from: np.ndarray | None = None) -> np.ndarray:
    """Distances to the k nearest of `features`, from each row of `seen_from` or from each to the others: `[N, k]`."""
    from sklearn.neighbors import NearestNeighbors  # takes 1.4 s; a training without a judge need not wait

    return NearestNeighbors(n_neighbors=k, algorithm="brute").fit(features.astype(np.float64)).kneighbors(seen_from)[0]


def class_shares(classes: np.ndarray) -> np.ndarray:
    """The share of each of the 10 digits among `classes [N]`."""
    return np.bincount(classes, minlength=10) / len(classes)


def class_distance(shares: np.ndarray, real_shares: np.ndarray) -> float:
    """Half the sum of absolute differences of two distributions over the digits: 0 equal, 1 nothing in common."""
    return float(np.abs(shares - real_shares).sum() / 2)


def confident_share(probabilities: np.ndarray) -> float:
    """The share of images that the judge recognises with a probability above 0.9."""
    return float((probabilities.max(axis=1) > CONFIDENT).mean())


def psnr(originals: np.ndarray, others: np.ndarray) -> float:
    """The peak signal-to-noise ratio in decibels, 10 log₁₀(1 / MSE) of images brought to [0, 1]: the mean over pairs of
    images `[N, C, H, W]`, float32 in [-1, 1]. Infinite where a pair is equal."""
    pixels, pairs = pixel_metrics(), zip(from_0_to_1(originals), from_0_to_1(others))
    with np.errstate(divide="ignore"):
        return float(np.mean([pixels.peak_signal_noise_ratio(a, b, data_range=1) for a, b in pairs]))


def ssim(originals: np.ndarray, others: np.ndarray) -> float:
    """The structural similarity of images brought to [0, 1], in windows of 11x11 pixels weighted by a Gaussian of 1.5
    (Wang et al. 2004, "Image quality assessment", equation 13): the mean over windows and over pairs of images
    `[N, C, H, W]`, float32 in [-1, 1], of at least 11x11 pixels. 1 for equal images, below 0 for inverted ones.

    The formula holds for values from 0 on: means of both signs would make its first factor negative.
    """
    window = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False, "data_range": 1}
    pixels, pairs = pixel_metrics(), zip(from_0_to_1(originals), from_0_to_1(others))
    return float(np.mean([pixels.structural_similarity(a, b, channel_axis=0, **window) for a, b in pairs]))


def pixel_metrics() -> ModuleType:
    """scikit-image's metrics, which nothing else needs.

    Raises:
        UserError: it is not installed.
    """
    try:
        from skimage import metrics
    except ModuleNotFoundError as error:
        raise UserError(_("PSNR and SSIM need scikit-image: pip install scikit-image")) from error
    return metrics


def from_0_to_1(images: np.ndarray) -> np.ndarray:
    """Images in [-1, 1] as float64 in [0, 1]."""
    return (np.clip(images, -1, 1).astype(np.float64) + 1) / 2
