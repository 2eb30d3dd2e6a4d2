"""What a training run writes: `log` after each step; `draw_samples`, `judge` and `save` now and then."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from common import data
from common.data import Dataset, as_float
from common.errors import UserError
from common.game import Batch, Game, on_device
from common.judging.judge import Judged, load_record
from common.judging.reference import Reference, check_enough
from common.language import _, shown
from common.machine import onednn
from common.rng import FIXED, STATISTICS, random_numbers
from common.run import artifacts, checkpoint, grids
from common.run.health import Health, pixel_std, what_classes
from common.run.histograms import Histograms
from common.run.logs import put_back
from common.run.progress import Progress
from common.run.runs import best_distance, load_rows, load_troubles
from common.run.words import metrics_line

import numpy as np
import paddle
from paddle import Tensor
from tqdm import tqdm

EMA_BATCHES, EMA_BATCH = 10, 100  # of latent vectors, from which the average's BatchNorm statistics are measured
SHOWN = grids.GRID_COLUMNS**2  # pictures in a sample grid
POINTS = 500  # real and generated images each whose features VisualDL shows
READ_EVERY = 20  # steps between looks at the losses: on a GPU each one read waits for the work before it


class Recorder:
    """The files of one run, its progress bar and its health watch.

    Args:
        game: what is trained.
        dataset: what it is trained on.
        flags: of the command line.
        config: what `config.json` says. The checkpoint keeps its `identity`; see `common.run.identity`.
        steps_per_epoch, total: steps, all of them counted from the run's start.
        saved: the checkpoint that is resumed, None for a new run.
    """

    def __init__(
        self,
        game: Game,
        dataset: Dataset,
        flags: argparse.Namespace,
        config: dict[str, Any],
        steps_per_epoch: int,
        total: int,
        saved: dict[str, Any] | None,
    ) -> None:
        self.game, self.dataset, self.flags, self.config = game, dataset, flags, config
        self.folder, start = flags.output_dir, saved["step"] if saved else 0
        self._lock = lock_of(self.folder)
        lengths = saved and put_back(self.folder, start, saved["logs"])
        judged = ["metric/frechet", "metric/frechet EMA"][: 1 + bool(game.ema)]
        judged = judged if flags.eval_every and "generator" in game.networks else []
        self.logs = artifacts.Logs(self.folder, config["flags"], lengths, judged)
        self.histograms = Histograms(game, self.logs.board, steps_per_epoch, start)
        self.shows, said = self.logs.shows, []
        self.best: float | None = None  # the least distance; until the first judgement it is not known whose counts
        if saved:
            with self.shows.only("the sample grids"):
                grids.remove_later_grids(self.folder / "samples", start, saved["sample_every"], steps_per_epoch)
        with self.shows.only("metrics.jsonl"):
            said = load_troubles(self.folder)
        some = as_float(dataset.images[:: max(1, len(dataset.images) // 1000)])  # a folder's are sorted by class
        known = what_classes(dataset.name), game.power, game.judged_from
        self.health = Health(pixel_std(some), game.scores, game.chance, *known)
        if saved:
            spreads = saved.get("spreads", [])  # earlier versions kept none
            self.health.resume(load_rows(self.folder), saved["troubles"], said, spreads)
        self.examiner = Examiner(dataset)
        self._measured_at: int | None = None
        taken = min(len(dataset.images) / steps_per_epoch, flags.batch_size * game.batches)  # the rest is left out
        self.progress = Progress(total - start, taken, flags.epochs, flags.sample_every)
        self._waiting: list[tuple[dict, dict[str, Tensor]]] = []  # steps whose values are still on the device

    def log(self, step: int, epoch: int, batch: int, values: dict[str, Tensor], at_once: bool) -> bool:
        """Take note of a step. `at_once`, or at every 20th step, what is waiting is fetched, written and shown.

        Returns:
            Whether all that was fetched is finite, and, `at_once`, all weights: what is drawn or saved is theirs.
        """
        self.histograms.after(step)
        self._waiting.append(({"step": step, "epoch": epoch, "batch": batch}, values))
        if step % READ_EVERY and not at_once:
            return True
        self._check_place()
        rows = rows_of(self._waiting)
        self._waiting.clear()
        self.logs.steps(rows)
        speed = self.progress.advance(rows)
        if step % READ_EVERY == 0:
            self.logs.board.scalar("speed/images a second", speed, step)
        finite = all(np.isfinite(value) for row in rows for value in row.values())
        if finite:
            self._warn(self.health.check_steps(rows))
        return finite and (not at_once or self._weights_are_finite())

    def _check_place(self) -> None:
        """Raise `UserError` where the folder was moved and another run writes to the one in its place; where it is only
        gone, or another folder is there, go on in a whole one."""
        if lock_of(self.folder) not in (None, self._lock):
            said = _(
                "{folder}: moved while this run wrote there, and another run has its place; go on with the moved "
                "one's last checkpoint: --output-dir WHERE_IT_IS --resume",
                folder=self.folder,
            )
            raise UserError(said)
        if not (self.folder / "config.json").exists():
            artifacts.save_json(self.folder / "config.json", self.config)
            what = _("moved or removed while this run wrote there; what comes now goes to a new folder")
            self.shows.say(str(self.folder), what)

    def _weights_are_finite(self) -> bool:
        """Whether all weights and statistics of the networks are."""
        tensors = [tensor for network in self.game.networks.values() for tensor in network.state_dict().values()]
        return all(np.isfinite(tensor.numpy()).all() for tensor in tensors)

    def draw_samples(self, step: int, epoch: int, batch: int, keep: bool, show: bool) -> None:
        """Draw the grid: `keep` it as a file, `show` it in VisualDL."""
        with self.shows.only("the sample grid"):
            chosen = np.arange(SHOWN) % len(self.dataset.images)
            images, labels = as_float(self.dataset.images[: len(chosen)]), self.dataset.labels
            first = paddle.to_tensor(images), None if labels is None else paddle.to_tensor(labels[: len(chosen)])
            whole = lambda count: slice(None)  # noqa: E731  only this process draws
            samples = self.game.show(Batch(first, chosen, random_numbers(self.flags.seed, FIXED), step, whole))
            grid = grids.grid(samples)
            if show:
                self.logs.board.image("samples", grid.convert("RGB"), step)
            if keep:
                grids.save_image(self.folder / "samples" / f"{epoch:04d}_{batch:04d}.png", grid)
            if self._draws_from_noise(step):  # not the grid, which may show real images too
                latent = on_device(self.game.latent(random_numbers(self.flags.seed, FIXED), len(chosen)))
                self._warn(self.health.check_samples(step, self.game.sample(latent)))

    def _draws_from_noise(self, step: int) -> bool:
        """Whether there is a generator, and its training has begun."""
        return "generator" in self.game.networks and step >= self.game.judged_from

    def judge(self, step: int, epoch: int) -> None:
        """Judge the generator and its average, and keep the better one's weights if none were better before."""
        if not self._draws_from_noise(step):
            return
        self._measure_statistics(step)
        found = None
        with self.shows.only("the judgement"):
            found = self.examiner.examine(self.game)
        if not found:
            return
        judge = self.examiner.judge
        if self.best is None:
            self.best = np.inf
            with self.shows.only("metrics.jsonl"):
                self.best = best_distance(self.folder, judge)
        self.logs.metrics({"step": step, "epoch": epoch, "judge": judge, **found})
        self._show_features(step, epoch)
        self.progress.say(_("epoch {epoch}: Fréchet distance {metrics}", epoch=epoch + 1, metrics=metrics_line(found)))
        if not self.examiner.reference.borrowed:
            real = self.examiner.reference.shares.tolist()
            self._warn(self.health.check_classes(step, found["raw"]["classes"], real))
        nearer = min(found, key=lambda name: found[name]["frechet"])
        if found[nearer]["frechet"] < self.best:
            self.best = found[nearer]["frechet"]
            network = self.game.ema.network if nearer == "ema" else self.game.networks["generator"]
            artifacts.save_params(self.folder / "generator_best.params", network.state_dict())

    def _show_features(self, step: int, epoch: int) -> None:
        """What the judge saw in real and in generated images, for VisualDL; the classes are the judge's."""
        sides = {"real": self.examiner.reference.seen[:POINTS], "generated": self.examiner.seen[:POINTS]}
        labels = [[name, str(digit)] for name, seen in sides.items() for digit in seen.classes]
        vectors = np.concatenate([seen.features for seen in sides.values()])
        self.logs.board.embeddings(f"features/epoch {epoch + 1}", ["image", "class"], labels, vectors, step)

    def save(self, step: int) -> None:
        """Write the weights, and the checkpoint that `--resume` goes on from."""
        self._check_place()
        self._measure_statistics(step)
        for name, network in checkpoint.all_networks(self.game).items():
            artifacts.save_params(self.folder / f"{name}.params", network.state_dict())
        saved = {"step": step + 1, "logs": self.logs.flush(), "sample_every": self.flags.sample_every}
        saved |= {"troubles": sorted(self.health.ongoing), "spreads": self.health.spreads}
        saved |= {"identity": self.config["identity"], "settings": self.flags.settings, "computed by": onednn.choices()}
        checkpoint.save(self.folder, self.game, saved)

    def close(self) -> None:
        """End the bar and join the grids to a GIF."""
        self.progress.bar.close()
        with self.shows.only("progress.gif"):
            grids.save_gif(self.folder / "samples", self.folder / "progress.gif")

    def _measure_statistics(self, step: int) -> None:
        """Give the average its BatchNorm statistics, on latent vectors that are the same each time."""
        if self.game.ema and self._measured_at != step:
            self._measured_at = step
            rngs = (random_numbers(self.flags.seed, STATISTICS, part) for part in range(EMA_BATCHES))
            self.game.ema.measure_statistics([on_device(self.game.population(rng, EMA_BATCH)) for rng in rngs])

    def _warn(self, troubles: list[dict]) -> None:
        for trouble in troubles:
            self.logs.trouble(trouble)
            values = {name: shown(value) for name, value in trouble.items()}
            self.progress.say(_("!!! step {step}: {trouble}: {advice}.", **values))


class Examiner:
    """Judges a generator and its moving average while they train, on fewer images than the command does.

    It takes nothing from the training's random streams and leaves no trace in the networks.

    Args:
        dataset: what is trained on; its judge is fetched when it is first needed.
    """

    SAMPLES = 2000

    def __init__(self, dataset: Dataset) -> None:
        self.dataset = dataset
        self.reference: Reference | None = None
        self.seen: Judged | None = None  # in the generator's images, at the last judgement
        self.refused = self.judge = ""  # why there is none; its checksum

    def examine(self, game: Game) -> dict[str, dict] | None:
        """The metrics of the generator under `raw`, of its average under `ema`; None where no judge fits."""
        if self.refused:
            return None
        if self.reference is None:
            name, images, checksum = self.dataset.judge or self.dataset.name, *self.dataset[1:3]
            if name == "digits":  # the judge keeps a quarter unseen
                images, _labels, checksum = data.load_labelled(name, "train", size=images.shape[-1])
            try:
                self.judge = load_record(name)["sha256"]
                check_enough(name, images)
                tqdm.write(_("the judge looks at the real images; kept for later runs"), file=sys.stdout)
                self.reference = Reference(name, images, checksum)
                if self.dataset.judge:
                    tqdm.write(_("Fréchet distances are of {what}", what=self.reference.judged), file=sys.stdout)
            except UserError as error:
                self.refused = str(error)
                print(_("note: no metrics: {error}", error=error), file=sys.stderr)
                return None
        # Others than `commands.evaluate` draws: that judges the best ones, too, which are chosen by these.
        latent = game.population(np.random.default_rng(1), self.SAMPLES)
        self.seen = self.reference.see(game.sample(latent))
        found = {"raw": self.reference.compare(self.seen)}
        return {**found, "ema": self.reference.judge_images(game.sample(latent, ema=True))} if game.ema else found


def lock_of(folder: Path) -> int | None:
    """The number of the file that a run of `folder` holds; None where there is none."""
    try:
        return (folder / ".lock").stat().st_ino
    except OSError:
        return None


def rows_of(steps: list[tuple[dict, dict[str, Tensor]]]) -> list[dict[str, float]]:
    """The values of many steps, brought from the device at once: a row for each, float32."""
    names = list(steps[0][1])
    for at, values in steps:
        check_row(values, names, at["step"])
    numbers = [values[name].astype("float32") for _at, values in steps for name in names]
    table = paddle.stack(numbers).numpy().reshape(-1, len(names))
    return [{**at, **dict(zip(names, values))} for (at, _values), values in zip(steps, table)]


def check_row(values: dict[str, Tensor], names: list[str], step: int) -> None:
    """Raise `UserError` where what `update` returned in `step` is no row of numbers, or one of other `names`."""
    if set(values) != set(names):
        now, before = ", ".join(values), ", ".join(names)
        raise UserError(
            _("update returned {now} in step {step} and {before} before; return the same in each step",
              now=now, step=step, before=before)
        )  # fmt: skip
    for name, value in values.items():
        if not isinstance(value, Tensor):
            given = repr(value)
        elif value.ndim:
            given = _("a tensor of shape {shape}", shape=list(value.shape))
        else:
            continue
        raise UserError(
            _("update returned {given} as {name}: expected a tensor without dimensions, such as a mean",
              given=given, name=name)
        )  # fmt: skip
