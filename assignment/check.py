"""What is left to do of the assignment: `python assignment/check.py my_lsgan`.

It imports and runs the code of the folder, as `python my_lsgan/train.py` would: for your own code, on your own machine.
"""

from __future__ import annotations

import importlib
import sys
from pathlib import Path
from types import ModuleType
from typing import Callable

if __name__ == "__main__":
    sys.path[0] = str(Path(__file__).resolve().parents[1])

from assignment.student import check_folder
from common.data import load_digits
from common.errors import DONE
from common.game import Batch
from common.gan import GAN
from common.rng import LATENT, random_numbers
from common.run.commandline import Parser, command, user_path

import numpy as np
import paddle
from paddle import Tensor, nn

NOT_YET = 1  # an exit status
PARAMETERS = {"generator": 1_066_880, "discriminator": 661_248}
STEPS = 20


class NotYet(Exception):  # noqa: N818  it is no error
    """A check that fails; its text says what was found and what to do next."""


@command
def main(arguments: list[str] | None = None) -> int:
    """The command; returns its exit status: 0 where all checks pass, 1 where one does not, 2 for a wrong folder."""
    parser = Parser(
        prog="python assignment/check.py",
        description="Say what is left to do of the assignment. It imports and runs the code of the folder: your own "
        "code, on your own machine.",
    )
    parser.add_argument(
        "folder", metavar="FOLDER", type=user_path, help="what assignment/starter.py made, such as my_lsgan"
    )
    folder = parser.parse_args(arguments).folder
    check_folder(folder)
    paddle.set_device("cpu")  # where a criterion refuses a score by an error; a GPU would stop the whole program
    try:
        train = import_train(folder.resolve())
        check_files(folder.resolve(), train)
    except NotYet as trouble:
        return report({"the code of this folder": str(trouble)})
    except (Exception, SystemExit) as error:  # whatever a student's code may do
        return report({"the code of this folder": f"{first_line(error)}; mend this first"})
    return report({name: outcome(check, train.build) for name, check in CHECKS.items()})


def report(troubles: dict[str, str]) -> int:
    """Print a line for each check, "" being no trouble; return the exit status."""
    for name, trouble in troubles.items():
        print(f"not yet  {name}: {trouble}" if trouble else f"ok       {name}")
    left = sum(map(bool, troubles.values()))
    print(f"{left} of {len(troubles)} not yet" if left else "all done: this is LSGAN")
    return NOT_YET if left else DONE


def outcome(check: Callable[[GAN], None], build: Callable[[], GAN]) -> str:
    """What a check has to say of a new game, "" where it passes."""
    paddle.seed(0)
    try:
        check(build())
    except NotYet as trouble:
        return str(trouble)
    except Exception as error:  # whatever a student's code may do
        return f"{first_line(error)}; mend this first"
    return ""


def first_line(error: BaseException) -> str:
    """An error's kind and the line of its text that says most: Paddle's texts are long, and begin with a trace."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    telling = [line for line in lines if "Error:" in line] or lines or [""]
    return f"{type(error).__name__}: {telling[0]}"


def import_train(folder: Path) -> ModuleType:
    """The folder's `train.py`; the folder may be anywhere."""
    sys.path.insert(0, str(folder.parent))
    try:
        return importlib.import_module(f"{folder.name}.train")
    finally:
        sys.path.remove(str(folder.parent))


def check_files(folder: Path, train: ModuleType) -> None:
    """Raise `NotYet` where it is the code of another folder that is about to be checked."""
    discriminator = type(train.build().networks["discriminator"])
    for file, module in (("train.py", train), ("model.py", sys.modules[discriminator.__module__])):
        if Path(module.__file__).resolve() != folder / file:
            raise NotYet(f"{module.__file__} is run in place of {folder / file}; mend the imports in train.py")


def parameters(game: GAN) -> None:
    """Both networks have the layers of DCGAN."""
    for name, wanted in PARAMETERS.items():
        found = sum(p.size for p in game.networks[name].parameters() if not p.stop_gradient)
        if found != wanted:
            raise NotYet(f"the {name} has {found:,}, DCGAN's has {wanted:,}; undo what else you changed in model.py")


def large_images() -> Tensor:
    """64 images of noise, far larger than real ones: D answers with large scores, as one that is sure does."""
    return paddle.to_tensor(np.random.default_rng(0).uniform(-1e5, 1e5, (64, 1, 32, 32)).astype(np.float32))


def scores(game: GAN) -> None:
    """D's scores have no bounds, and nothing comes after its last convolution."""
    discriminator, seen = game.networks["discriminator"], []
    layers = [layer for layer in discriminator.sublayers() if isinstance(layer, nn.Conv2D)]
    hooks = [layer.register_forward_post_hook(lambda *call: seen.append(call[-1])) for layer in layers]
    discriminator.eval()
    with paddle.no_grad():
        found = discriminator(large_images()).numpy()
    for hook in hooks:
        hook.remove()
    if not (found.min() < 0 and found.max() > 1):
        raise NotYet(
            f"even for huge inputs D answers from {found.min():.2f} to {found.max():.2f} only; what "
            "squeezes its score in model.py (TODO 1)?"
        )
    if not np.array_equal(found, seen[-1].numpy()):
        raise NotYet("D's score is not what its last convolution gives; let nothing come after it in model.py (TODO 1)")


def gradient(game: GAN) -> None:
    """G learns from every image, also where D is sure that it is fake or real."""
    images = large_images()
    images.stop_gradient = False
    game.networks["discriminator"].eval()
    found = game.networks["discriminator"](images)
    try:
        loss = game.loss.generator(found)
    except Exception:
        raise NotYet("the criterion refuses scores outside of 0 to 1; it must take any score (TODO 2)") from None
    loss.backward()
    norms = np.linalg.norm(images.grad.numpy().reshape(len(images), -1), axis=1)
    none = int((~(norms > 1e-12)).sum())  # NaN counts, too
    if none:
        where = "model.py (TODO 1)" if found.abs().max() <= 1 else "train.py (TODO 2)"
        raise NotYet(f"{none} of {len(norms)} images that D is sure of give G none; look for what is flat in {where}")


def criterion(game: GAN) -> None:
    """It is the mean squared error; the ½ of the paper is fine, too."""
    rng = np.random.default_rng(0)
    real, fake = (rng.uniform(0.1, 0.9, (8, 1, 1, 1)).astype(np.float32) for _ in range(2))
    scores = paddle.to_tensor(real), paddle.to_tensor(fake)
    found = np.array([float(game.loss.discriminator(*scores)), float(game.loss.generator(scores[1]))])
    wanted = np.array([np.square(real - 1).mean() + np.square(fake).mean(), np.square(fake - 1).mean()])
    if not (np.allclose(found, wanted, rtol=1e-4) or np.allclose(2 * found, wanted, rtol=1e-4)):
        raise NotYet(
            f"D's and G's losses are {found[0]:.4f} and {found[1]:.4f} where the mean squared errors are "
            f"{wanted[0]:.4f} and {wanted[1]:.4f}; change it in train.py (TODO 2)"
        )


def short_run(game: GAN) -> None:
    """Some steps on scikit-learn's digits: every loss and score is finite."""
    images, count = paddle.to_tensor(load_digits().images), 8
    for step in range(STEPS):
        chosen = np.arange(step * count, (step + 1) * count)
        try:
            values = game.update(Batch((images, None), chosen, random_numbers(0, LATENT, step), step))
        except Exception as error:
            raise NotYet(f"step {step} ends with {first_line(error)}; do the other checks first") from None
        for name, value in values.items():
            if not np.isfinite(float(value)):
                raise NotYet(f"{name} is {float(value)} in step {step}; do the other checks first")


CHECKS = {
    "the parameters are DCGAN's": parameters,
    "D's scores have no bounds": scores,
    "G gets a gradient where D is sure": gradient,
    "the criterion is the mean squared error": criterion,
    f"{STEPS} steps on digits, all losses finite": short_run,
}


if __name__ == "__main__":
    sys.exit(main())
