"""What a person sees while a run goes on."""

from __future__ import annotations

import sys
import time

from common.run.words import resuming

from tqdm import tqdm

FIRST = 2000  # steps after which there is something to see: an epoch of MNIST
LONG = 20 * 60  # seconds from which on a person should know how to stop


def spoken(seconds: float) -> str:
    """A time as one says it: "35 minutes", "6.5 hours"."""
    return f"{seconds / 60:.0f} minutes" if seconds < 90 * 60 else f"{seconds / 3600:.1f} hours"


class Progress:
    """A bar with losses, speed and time left; where the output is no terminal, a plain line now and then instead.

    Args:
        steps: steps this process will make.
        images: images a step takes in, on average.
        epochs: for "epoch 3/100".
        line_every: steps between plain lines.
    """

    def __init__(self, steps: int, images: float, epochs: int, line_every: int) -> None:
        self.steps, self.images, self.epochs, self.line_every = steps, images, epochs, line_every
        self.done, self.started = 0, time.perf_counter()
        self.terminal = sys.stdout.isatty()
        self.long: bool | None = None  # whether the run takes long; None until its speed is known
        shown = "{desc} {percentage:3.0f}%|{bar}| {elapsed}<{remaining}, {rate_fmt}{postfix}"
        options = {"bar_format": shown, "disable": not self.terminal, "dynamic_ncols": True, "file": sys.stdout}
        self.bar = tqdm(total=steps, unit=" images", unit_scale=images, **options)

    def advance(self, rows: list[dict[str, float]]) -> float:
        """Show the steps in `rows`, done since the last call. Returns images a second since the start."""
        self.done += len(rows)
        seconds = time.perf_counter() - self.started
        speed = self.done * self.images / seconds
        left = (self.steps - self.done) * seconds / self.done
        if self.long is None and self.done > 20:  # the first steps are slow
            self.long = left > LONG
            if self.long:
                pace, ahead = seconds / self.done, FIRST - rows[-1]["step"]
                first = f"{spoken(pace * ahead)} to step {FIRST:,}, when shapes can be seen; " if ahead > 0 else ""
                how = f"Ctrl-C stops and saves, {resuming()} goes on"
                self.say(f"{pace:.2g} s a step: {first}some {spoken(left)} to go; {how}")
        last = rows[-1]
        epoch = f"epoch {last['epoch'] + 1}/{self.epochs}"
        losses = "  ".join(f"{name} {last[name]:.3f}" for name in last if name.startswith("loss"))
        self.bar.set_description_str(epoch, refresh=False)
        self.bar.set_postfix_str(losses, refresh=False)
        self.bar.update(len(rows))
        if not self.terminal and any(row["step"] % self.line_every == 0 for row in rows):
            shown = tqdm.format_interval(left)
            print(f"{epoch}  step {last['step']}  {losses}  {speed:.0f} images/s  {shown} left", flush=True)
        return speed

    def say(self, text: str) -> None:
        """Print a line without tearing the bar."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
