"""A player's turn and a batch, on networks small enough to work out by hand."""

from __future__ import annotations

import re

from common.errors import UserError
from common.game import Batch, Game, adams
from common.rng import LATENT, random_numbers
from common.run.recorder import rows_of

import numpy as np
import paddle
import pytest
from paddle import nn
from paddle.optimizer import SGD, Adam

pytestmark = pytest.mark.usefixtures("device")


class Two(Game):
    """A critic of one weight, and a generator that has a weight it need not use; BatchNorm's statistics in neither."""

    def __init__(self, make_optimizer=SGD) -> None:
        paddle.seed(0)
        self.generator = nn.Sequential(nn.Linear(1, 1), nn.BatchNorm1D(1), nn.Linear(1, 1))
        self.critic = nn.Linear(1, 1)
        self.networks = {"generator": self.generator, "critic": self.critic}
        self.optimizers = {
            name: make_optimizer(0.1, parameters=network.parameters()) for name, network in self.networks.items()
        }

    def loss(self) -> paddle.Tensor:
        return self.critic(self.generator(paddle.to_tensor([[1.0], [2.0], [4.0]]))).square().sum()


def weights(game: Game) -> dict[str, list[list]]:
    """All weights that are trained, by network."""
    return {
        name: [p.numpy().tolist() for p in network.parameters() if not p.stop_gradient]
        for name, network in game.networks.items()
    }


def is_free(game: Game) -> bool:
    """Whether nothing is frozen but the statistics, and no gradient is left."""
    parameters = {name: p for network in game.networks.values() for name, p in network.named_parameters()}
    frozen = {name for name, p in parameters.items() if p.stop_gradient}
    return frozen <= {"1._mean", "1._variance"} and all(p.grad is None for p in parameters.values())


@pytest.mark.parametrize("player", ["generator", "critic"])
def test_only_the_mover_has_gradients_and_moves(player):
    game = Two()
    (other,) = set(game.networks) - {player}
    before = weights(game)
    with game.turn(player):
        game.loss().backward()
        assert all(p.grad is None for p in game.networks[other].parameters())
        gradients = [p.grad.numpy() for p in game.networks[player].parameters() if p.grad is not None]
    after = weights(game)
    assert after[other] == before[other]
    for was, now, gradient in zip(before[player], after[player], gradients):
        np.testing.assert_allclose(now, np.array(was) - 0.1 * gradient, rtol=1e-5, atol=1e-6)
    assert after[player] != before[player]
    assert is_free(game)


def test_after_an_exception_nothing_has_moved_and_all_is_free():
    game = Two()
    before = weights(game)

    def break_off() -> None:
        with game.turn("critic"):
            game.loss().backward()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        break_off()
    assert weights(game) == before
    assert is_free(game)


def test_gradients_from_outside_do_not_count():
    game, twin = Two(), Two()
    (100 * game.loss()).backward()
    for one in (game, twin):
        with one.turn("generator"):
            one.loss().backward()
    assert weights(game)["generator"] == weights(twin)["generator"]


@pytest.mark.parametrize("loses", [lambda game: None, lambda game: game.critic(paddle.ones([1, 1])).sum().backward()])
def test_a_turn_without_gradient_is_an_error(loses):
    """Nothing computed, and the loss of another player's network."""
    game = Two()
    before = weights(game)
    with pytest.raises(RuntimeError, match="generator got no gradient"), game.turn("generator"):
        loses(game)
    assert weights(game) == before
    assert is_free(game)


def test_what_a_turn_does_not_use_stays():
    """Adam would go on moving it, from the memory of a turn that did use it."""
    game = Two(Adam)
    for _ in range(3):
        with game.turn("generator"):
            game.loss().backward()
    before = weights(game)["generator"]
    with game.turn("generator"):
        game.generator[0](paddle.ones([1, 1])).sum().backward()
    after = weights(game)["generator"]
    assert after[:2] != before[:2]
    assert after[2:] == before[2:]


def test_a_layer_frozen_between_two_turns_stays_frozen():
    """As in transfer learning: frozen after the first epoch, it was trained again from the next turn on."""
    game = Two()
    for _ in range(2):
        for player in game.networks:
            with game.turn(player):
                game.loss().backward()
            game.generator[0].weight.stop_gradient = True
    before = game.generator[0].weight.numpy()
    for player in ("critic", "generator"):
        with game.turn(player):
            game.loss().backward()
    assert game.generator[0].weight.stop_gradient
    np.testing.assert_array_equal(game.generator[0].weight.numpy(), before)


def test_an_optimizer_may_have_groups_of_parameters():
    game = Two()
    layers = [
        {"params": [*layer.parameters()], "learning_rate": rate} for layer, rate in zip(game.generator, (1, 1, 0))
    ]
    game.optimizers["generator"] = SGD(0.1, parameters=layers)
    before = weights(game)
    with game.turn("generator"):
        game.loss().backward()
    after = weights(game)
    changed = [one != other for one, other in zip(before["generator"], after["generator"])]
    assert any(changed[:4])
    assert before["critic"] == after["critic"]
    assert is_free(game)


def test_one_player_may_own_two_networks():
    class Three(Two):
        """Generator and encoder move together."""

        def __init__(self) -> None:
            super().__init__()
            self.networks["encoder"] = nn.Linear(1, 1)
            both = [*self.generator.parameters(), *self.networks["encoder"].parameters()]
            self.optimizers["generator"] = SGD(0.1, parameters=both)

    game = Three()
    before = weights(game)
    with game.turn("generator"):
        (game.loss() + game.networks["encoder"](paddle.ones([1, 1])).sum()).backward()
    after = weights(game)
    assert [name for name in after if after[name] != before[name]] == ["generator", "encoder"]
    np.testing.assert_allclose(np.array(after["encoder"][1]), np.array(before["encoder"][1]) - 0.1, rtol=1e-5)
    assert is_free(game)


def test_what_two_networks_share_is_stepped_once():
    """A first layer that both critics have, as in CoGAN; Paddle's Adam steps twice what it is given twice."""
    shared, heads = nn.Linear(1, 1), [nn.Linear(1, 1) for _ in range(2)]
    game = Game()
    game.networks = {f"critic_{i}": nn.Sequential(shared, head) for i, head in enumerate(heads)}
    once = {id(p): p for network in game.networks.values() for p in network.parameters()}
    game.optimizers = {"critics": SGD(0.1, parameters=list(once.values()))}
    before = shared.bias.item()
    with game.turn("critics"):
        shared(paddle.ones([1, 1])).sum().backward()  # the gradient of the bias is 1
    assert shared.bias.item() == pytest.approx(before - 0.1)
    assert is_free(game)


def test_second_derivatives_pass_through_the_frozen():
    """A penalty on what a frozen generator made: the slope of wx is w, and that of (w² - 1)² is 4w(w² - 1)."""
    game = Two()
    with game.turn("critic"):
        x = game.generator(paddle.to_tensor([[1.0], [2.0]])).detach()
        x.stop_gradient = False
        (slopes,) = paddle.grad(game.critic(x).sum(), x, create_graph=True)
        (slopes[0].square() - 1).square().sum().backward()
        w = game.critic.weight.item()
        assert game.critic.weight.grad.item() == pytest.approx(4 * w * (w * w - 1), rel=1e-4)


# Batches


def batch(count: int = 12, seed: int = 0, step: int = 3, share=lambda count: slice(None)) -> Batch:
    """A batch of images each of which is its own number, of its own label."""
    images = paddle.arange(100, dtype="float32").reshape([100, 1, 1, 1])
    chosen = np.random.default_rng(1).permutation(100)[:count]
    return Batch((images, paddle.arange(100)), chosen, random_numbers(seed, LATENT, step), step, share)


def normal(rng: np.random.Generator, count: int) -> np.ndarray:
    return rng.standard_normal((count, 2), dtype=np.float32)


def test_images_and_labels_are_those_chosen():
    whole = batch()
    assert whole.images.shape == [12, 1, 1, 1]
    assert whole.images.numpy().ravel().tolist() == whole.labels.numpy().tolist() == whole.chosen.tolist()
    assert whole.labels.dtype == paddle.int64


@pytest.mark.parametrize("parts", [1, 3, 4])
def test_a_split_batch_has_every_image_once(parts):
    whole = batch()
    cuts = whole.split(parts)
    assert [len(cut.images) for cut in cuts] == [12 // parts] * parts
    assert [x for cut in cuts for x in cut.images.numpy().ravel()] == whole.images.numpy().ravel().tolist()
    assert all(cut.step == whole.step for cut in cuts)


def test_the_parts_of_a_batch_draw_other_numbers():
    first, second = (cut.draw(normal).numpy() for cut in batch().split(2))
    assert first.shape == second.shape == (6, 2)
    assert (first != second).all()


def test_draws_are_a_function_of_seed_and_step():
    def draws(**where: int) -> list:
        drawing = batch(**where)
        return [drawing.draw(normal).numpy().tolist() for _ in range(2)]

    assert draws() == draws()
    assert draws()[0] != draws()[1]  # the second draw of a step is another one
    assert draws(step=4)[0] not in draws()
    assert draws(seed=1)[0] not in draws()


@pytest.mark.parametrize("world", [2, 3])
def test_the_shares_of_processes_make_up_the_whole(world):
    """Images, labels and draws, whether the batch is split first or not."""
    whole = [batch(), *batch().split(2)]
    parts = []
    for rank in range(world):
        share = lambda count, rank=rank: slice(count * rank // world, count * (rank + 1) // world)  # noqa: E731
        parts.append([batch(share=share), *batch(share=share).split(2)])
    for all_of_it, *shares in zip(whole, *parts):
        for kind in ("images", "labels"):
            together = np.concatenate([getattr(share, kind).numpy() for share in shares])
            assert (together == getattr(all_of_it, kind).numpy()).all()
        together = np.concatenate([share.draw(normal).numpy() for share in shares])
        assert (together == all_of_it.draw(normal).numpy()).all()


def test_a_part_of_another_network_is_applied_and_left_in_its_mode():
    """The judge's first layers, for instance, which must not begin to learn from what they look at."""
    whole = nn.Sequential(nn.Linear(2, 3), nn.BatchNorm1D(3), nn.ReLU())
    whole.eval()
    x = np.random.default_rng(0).standard_normal((7, 2), dtype=np.float32)
    before = Game().apply(whole, x)
    Game().apply(whole[:2], x + 5)
    Game().apply(nn.Sequential(whole[0], nn.BatchNorm1D(3)), x)
    assert not any(layer.training for layer in whole)
    np.testing.assert_array_equal(Game().apply(whole, x), before)


def test_whole_numbers_and_truth_values_have_columns_too():
    values = {"loss_d": paddle.full([], 0.1), "right": paddle.ones([]) > 0, "count": paddle.to_tensor(3)}
    (row,) = rows_of([({"step": 0}, values)])
    assert row == {"step": 0, "loss_d": np.float32(0.1), "right": 1, "count": 3}


@pytest.mark.parametrize(("make", "said"), [(lambda: 1.5, "1.5"), (lambda: paddle.ones([1]), "a tensor of shape [1]")])
def test_an_update_that_returns_what_is_no_mean_is_told_so(make, said):
    with pytest.raises(UserError, match=re.escape(f"update returned {said} as loss_x: expected a tensor without")):
        rows_of([({"step": 0}, {"loss_d": paddle.ones([]), "loss_x": make()})])
    fine = {"step": 0}, {"loss_d": paddle.ones([]), "loss_x": paddle.ones([])}
    with pytest.raises(UserError, match=re.escape(f"update returned {said} as loss_x")):
        rows_of([fine, ({"step": 1}, {"loss_d": paddle.ones([]), "loss_x": make()})])


@pytest.mark.parametrize("names", [("loss_d",), ("loss_d", "loss_g", "penalty")])
def test_an_update_that_returns_other_names_than_before_is_told_so(names):
    """As with a penalty that is computed in every fourth step only."""
    steps = [
        ({"step": step}, dict.fromkeys(given, paddle.ones([])))
        for step, given in ((3, ("loss_d", "loss_g")), (4, names))
    ]
    with pytest.raises(
        UserError, match=f"returned {', '.join(names)} in step 4 and loss_d, loss_g before; return the same"
    ):
        rows_of(steps)


def test_each_decay_rate_goes_where_it_belongs():
    (adam,) = adams({"a": nn.Linear(1, 1)}, 1e-3, 0.1, 0.7).values()
    assert (adam._beta1, adam._beta2) == (0.1, 0.7)
