"""`hubconf.py`: networks for other people's programs, by Paddle's hub."""

from __future__ import annotations

from common.run.runs import load_game
from tests.conftest import ROOT, call

import numpy as np
import paddle
import pytest

WEIGHTS = {"dcgan": "dcgan/pretrained", "lsgan": "lsgan/pretrained", "cgan": "zoo/pretrained/cgan"}

# A program with a module `common` of its own, and with no package but those that come with Paddle.
PROGRAM = """
import importlib.abc, sys

class OnlyPaddles(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name in {"scipy", "sklearn", "skimage", "tqdm", "matplotlib", "visualdl", "filelock", "pandas"}:
            raise ModuleNotFoundError(name)

sys.meta_path.insert(0, OnlyPaddles())
import paddle
import common
before = {*sys.modules}
network = paddle.hub.load(sys.argv[1], "dcgan", source="local", pretrained=True)
assert network(paddle.randn([3, 100, 1, 1])).shape == [3, 1, 32, 32]
assert sys.modules["common"] is common and common.MINE == "mine"
assert not [name for name in sys.modules if name.startswith("common.")], sys.modules
import helpers
print(helpers.ALSO)
"""

PICKLED = """
import pickle, sys
import paddle
network = paddle.hub.load(sys.argv[1], "dcgan", source="local", pretrained=True)
again = pickle.loads(pickle.dumps(network))
assert type(again) is type(network)
"""


def test_the_hub_lists_what_has_weights_here():
    assert paddle.hub.list(str(ROOT), source="local") == sorted(WEIGHTS)
    for name in WEIGHTS:
        said = paddle.hub.help(str(ROOT), name, source="local")
        assert "[N, 1, 32, 32]" in said
        assert WEIGHTS[name] in said


@pytest.mark.parametrize("name", WEIGHTS)
def test_what_the_hub_loads_draws_the_runs_pictures(name):
    network = paddle.hub.load(str(ROOT), name, source="local", pretrained=True)
    game = load_game(ROOT / WEIGHTS[name])
    latent = game.latent(np.random.default_rng(0), 4)
    assert not network.training
    np.testing.assert_array_equal(network(paddle.to_tensor(latent)).numpy(), game.sample(latent))


def test_without_weights_it_is_a_network_to_train():
    network = paddle.hub.load(str(ROOT), "lsgan", source="local")
    assert network.training
    assert float(network.gen[0].weight.std()) == pytest.approx(0.02, rel=0.02)


def test_a_program_of_ones_own_needs_no_more_than_paddle_and_keeps_its_modules(tmp_path):
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "common.py").write_text('MINE = "mine"\n')
    (tmp_path / "helpers.py").write_text("from common import MINE as ALSO\n")
    done = call("program.py", ROOT, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr


def test_a_program_without_such_modules_may_pickle_its_network(tmp_path):
    """A `common` of its own it may also import later."""
    (tmp_path / "program.py").write_text(PICKLED)
    done = call("program.py", ROOT, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    (tmp_path / "common.py").write_text('MINE = "mine"\n')
    (tmp_path / "program.py").write_text(f"{PICKLED.partition('again')[0]}import common\nprint(common.MINE)\n")
    done = call("program.py", ROOT, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "mine\n"), done.stderr
