"""Every family, and every setting that changes what its updates compute, on a last batch of one to three images."""

from __future__ import annotations

from common.run import checkpoint
from common.run.families import builder, families
from tests.conftest import batch_of_noise

import numpy as np
import paddle
import pytest

SETTINGS = {
    "cgan": [{"parts": "three", "heads": "two"}],
    "common_space": [{"constraint": name} for name in ("domain", "cycle", "code")] + [{"likeness": "perceptual"}],
    "cyclegan": [{"domains": "colour", "patch": "1"}, {"domains": "digits", "identity": 1.0}],
    "dcgan": [{"penalty": 1.0, "penalty_every": 1}],
    "dcgan_maxpool": [{"loss": "bce"}],
    "f_gan": [{"divergence": name} for name in ("reverse-kl", "pearson", "hellinger", "js", "gan")],
    "stackgan": [{"first_updates": 1}],
    "vae_gan": [{"model": "ae"}, {"model": "vae"}],
    "wgan_gp": [{"one_sided": True}],
}
CASES = [(name, settings) for name in families() for settings in [{}, *SETTINGS.get(name, [])]]


@pytest.mark.parametrize(("name", "settings"), CASES, ids=[f"{name} {settings or ''}" for name, settings in CASES])
def test_a_small_last_batch_leaves_all_finite(name, settings):
    paddle.seed(0)
    game = builder(name)(**settings)
    for step, count in enumerate((1, 3)):
        for column, value in game.update(batch_of_noise(game, count, step)).items():
            assert np.isfinite(value.item()), (column, count)
        for network_name, network in checkpoint.all_networks(game).items():
            for tensor_name, tensor in network.state_dict().items():
                assert np.isfinite(tensor.numpy()).all(), (network_name, tensor_name, count)
