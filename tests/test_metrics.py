"""The metrics, against values worked by hand, against `prdc`, and against what each is there to notice."""

from __future__ import annotations

from common.judging import metrics

import numpy as np
import pytest
from prdc import compute_prdc
from scipy.linalg import sqrtm

RNG = np.random.default_rng(0)
REAL = RNG.normal(size=(1200, 16)).astype(np.float32)
LIKE = RNG.normal(size=(1200, 16)).astype(np.float32)


def frechet(a: np.ndarray, b: np.ndarray) -> float:
    return metrics.frechet_distance(*metrics.moments(a), *metrics.moments(b))


def test_frechet_by_hand():
    """For diagonal covariances the roots are taken by component:

    |μa - μb|² = 3² + 4² = 25, and for each axis σa² + σb² - 2 σa σb = (σa - σb)²: (1 - 3)² + (2 - 2)² = 4.
    """
    found = metrics.frechet_distance(np.zeros(2), np.diag([1.0, 4.0]), np.array([3.0, 4.0]), np.diag([9.0, 4.0]))
    assert found == pytest.approx(25 + 4)


def test_frechet_of_covariances_that_do_not_commute():
    """Against the definition, with SciPy's root of the product, in a case where the two have other axes."""
    a, b = RNG.normal(size=(2, 5, 5))
    a, b = a @ a.T, b @ b.T
    expected = np.trace(a) + np.trace(b) - 2 * np.trace(sqrtm(a @ b)).real
    assert metrics.frechet_distance(np.zeros(5), a, np.zeros(5), b) == pytest.approx(expected, rel=1e-6)


def test_frechet_of_few_samples_is_finite_and_of_equal_sets_zero():
    assert frechet(REAL, REAL) == pytest.approx(0, abs=1e-4)
    assert np.isfinite(frechet(REAL[:5], LIKE[:5]))  # singular covariances
    assert frechet(REAL, LIKE) < 0.2 < frechet(REAL, LIKE + 1)


def test_kernel_distance_by_hand():
    """In one dimension k(x, y) = (xy + 1)³. x = (0, 1), y = (0, 2):

    within x: k(0, 1) = 1, both orders, mean 1; within y: k(0, 2) = 1, mean 1;
    between: k(0, 0) = 1, k(0, 2) = 1, k(1, 0) = 1, k(1, 2) = 27, mean 7.5; 1 + 1 - 2 · 7.5 = -13.
    """
    assert metrics.unbiased_mmd(np.array([[0.0], [1.0]]), np.array([[0.0], [2.0]])) == pytest.approx(-13)


def test_kernel_distance_is_unbiased_on_small_samples():
    """Many estimates from 20 images each: their mean is 0 within its own error, where the biased one is far off."""
    found, biased = [], []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        x, y = rng.normal(size=(2, 20, 4))
        found.append(metrics.unbiased_mmd(x, y))
        k = [((a @ b.T) / 4 + 1) ** 3 for a, b in ((x, x), (y, y), (x, y))]
        biased.append(k[0].mean() + k[1].mean() - 2 * k[2].mean())
    error = np.std(found) / np.sqrt(len(found))
    assert abs(np.mean(found)) < 3 * error
    assert np.mean(biased) > 10 * error


def test_kernel_distance_notices_and_gives_its_spread():
    same, spread = metrics.kernel_distance(REAL, LIKE, np.random.default_rng(0), size=500)
    other, _ = metrics.kernel_distance(REAL, LIKE + 0.5, np.random.default_rng(0), size=500)
    assert abs(same) < 3 * spread < other
    assert metrics.kernel_distance(REAL, LIKE, np.random.default_rng(0)) == metrics.kernel_distance(
        REAL, LIKE, np.random.default_rng(0)
    )


def test_classifier_score_by_hand():
    sure = np.eye(10)[np.arange(100) % 10]
    assert metrics.classifier_score(sure) == pytest.approx(10)
    assert metrics.classifier_score(sure[:1].repeat(50, axis=0)) == pytest.approx(1)  # collapsed
    assert metrics.classifier_score(np.full((50, 10), 0.1)) == pytest.approx(1)  # unsure
    two = np.array([[0.8, 0.2], [0.2, 0.8]])  # KL of either from (½, ½): 0.8 log 1.6 + 0.2 log 0.4
    assert metrics.classifier_score(two) == pytest.approx(np.exp(0.8 * np.log(1.6) + 0.2 * np.log(0.4)))


@pytest.mark.parametrize("shift", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("k", [3, 5])
def test_neighbour_metrics_agree_with_prdc(shift, k):
    fake = LIKE[:900] * 0.9 + shift
    expected = compute_prdc(REAL, fake, nearest_k=k)
    found = metrics.neighbour_metrics(REAL, fake, k=k, k_coverage=k)
    for name, value in found.items():
        assert value == pytest.approx(expected[name], abs=2e-3), name


def test_neighbour_metrics_of_equal_sets():
    found = metrics.neighbour_metrics(REAL, REAL.copy())
    assert (found["precision"], found["recall"], found["coverage"]) == (1, 1, 1)
    assert found["density"] == pytest.approx(1, abs=0.3)


def test_order_does_not_matter():
    shuffled = LIKE[RNG.permutation(len(LIKE))]
    assert frechet(REAL, shuffled) == pytest.approx(frechet(REAL, LIKE), abs=1e-5)
    assert metrics.neighbour_metrics(REAL, shuffled) == pytest.approx(metrics.neighbour_metrics(REAL, LIKE))


def clusters(classes: range, count: int, seed: int) -> np.ndarray:
    """Ten well separated classes stand in for digits."""
    rng = np.random.default_rng(seed)
    centres = np.random.default_rng(99).normal(size=(10, 16)) * 6
    return np.concatenate([centres[i] + rng.normal(size=(count, 16)) for i in classes]).astype(np.float32)


def test_dropped_classes_cost_recall_and_coverage_not_precision():
    real, all_classes, half = clusters(range(10), 100, 1), clusters(range(10), 100, 2), clusters(range(5), 200, 3)
    whole, dropped = metrics.neighbour_metrics(real, all_classes), metrics.neighbour_metrics(real, half)
    assert dropped["recall"] < whole["recall"] - 0.3
    assert dropped["coverage"] < whole["coverage"] - 0.3
    assert dropped["precision"] > whole["precision"] - 0.1
    shares = metrics.class_shares(np.repeat(np.arange(5), 200))
    assert metrics.class_distance(shares, np.full(10, 0.1)) == pytest.approx(0.5)


def test_bad_images_cost_precision():
    real, good = clusters(range(10), 100, 1), clusters(range(10), 100, 2)
    bad = good + np.random.default_rng(4).normal(size=good.shape).astype(np.float32) * 3
    assert metrics.neighbour_metrics(real, bad)["precision"] < metrics.neighbour_metrics(real, good)["precision"] - 0.5


def test_nearest_distance_finds_a_memoriser():
    train, unseen = REAL, LIKE
    copies = train[:300] + 1e-3
    assert metrics.nearest_distance(train, copies) < 0.05 * metrics.nearest_distance(train, unseen)


def test_shares_and_confidence():
    assert metrics.class_shares(np.array([0, 0, 9, 1])).tolist() == [0.5, 0.25, 0, 0, 0, 0, 0, 0, 0, 0.25]
    assert metrics.class_distance(np.eye(10)[0], np.eye(10)[1]) == 1
    assert metrics.confident_share(np.array([[0.95, 0.05], [0.6, 0.4]])) == 0.5


def test_psnr_by_hand():
    """An offset of 0.2 in [-1, 1] is one of 0.1 in [0, 1]: MSE 0.01, 20 dB; half of it, 6.02 dB more."""
    images = RNG.uniform(-0.8, 0.8, (3, 1, 32, 32)).astype(np.float32)
    assert metrics.psnr(images, images + 0.2) == pytest.approx(20, abs=1e-4)
    assert metrics.psnr(images, images - 0.1) == pytest.approx(20 + 20 * np.log10(2), abs=1e-4)
    assert metrics.psnr(images, images) == np.inf
    mixed = np.concatenate([images[:1] + 0.2, images[1:2] + 0.02])  # the mean over images, not of the MSE
    assert metrics.psnr(images[:2], mixed) == pytest.approx((20 + 40) / 2, abs=1e-3)
    assert metrics.psnr(images, np.full_like(images, 3)) == metrics.psnr(images, np.ones_like(images))


def test_ssim_of_constant_images_by_its_formula():
    """Variances and covariance are 0: (2ab + C)/(a² + b² + C) with C = 0.01², for a and b in [0, 1]."""
    a, b = 0.25, 0.75
    expected = (2 * a * b + 1e-4) / (a**2 + b**2 + 1e-4)
    low, high = (np.full((2, 1, 16, 16), 2 * value - 1, np.float32) for value in (a, b))
    assert metrics.ssim(low, high) == pytest.approx(expected, abs=1e-6)
    assert metrics.ssim(low, low) == pytest.approx(1)
    assert metrics.ssim(-np.ones_like(low), np.ones_like(low)) == pytest.approx(1e-4 / (1 + 1e-4))


def test_ssim_of_one_window_by_hand():
    """Of 11x11 pixels one window lies inside. Equation 13 in full, with its weights."""
    images = RNG.uniform(-1, 1, (2, 1, 11, 11)).astype(np.float32)
    x, y = (images.astype(np.float64).reshape(2, 121) + 1) / 2
    line = np.exp(-(np.arange(-5, 6) ** 2) / (2 * 1.5**2))
    weights = np.outer(line, line).ravel() / line.sum() ** 2
    mean_x, mean_y = weights @ x, weights @ y
    spread_x, spread_y = weights @ x**2 - mean_x**2, weights @ y**2 - mean_y**2
    together = weights @ (x * y) - mean_x * mean_y
    expected = (2 * mean_x * mean_y + 0.01**2) * (2 * together + 0.03**2)
    expected /= (mean_x**2 + mean_y**2 + 0.01**2) * (spread_x + spread_y + 0.03**2)
    assert metrics.ssim(images[:1], images[1:]) == pytest.approx(expected, rel=1e-4)


def test_ssim_of_colour_and_of_inverted_images():
    images = np.repeat(np.repeat(RNG.uniform(-1, 1, (2, 3, 8, 8)), 4, axis=2), 4, axis=3).astype(np.float32)
    assert metrics.ssim(images, images) == pytest.approx(1)
    assert metrics.ssim(images, -images) < 0
    assert 0.5 < metrics.ssim(images, images * 0.7) < 1
