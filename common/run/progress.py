"""What a person sees while a run goes on."""

from __future__ import annotations

import sys
import time

from common.language import _
from common.run.words import resuming

from tqdm import tqdm

FIRST = 2000  # steps after which there is something to see: an epoch of MNIST
LONG = 20 * 60  # seconds from which on a person should know how to stop


def spoken(seconds: float) -> str:
    """A time as one says it: "35 minutes", "6.5 hours"."""
    if seconds < 90 * 60:
        return _("{minutes:.0f} minutes", minutes=seconds / 60)
    return _("{hours:.1f} hours", hours=seconds / 3600)


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
        # The losses come before the bar: a narrow terminal cuts off the end.
        shown = "{desc} {percentage:3.0f}%{postfix} |{bar}| {elapsed}<{remaining}, {rate_fmt}"
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
                said = _("{pace:.2g} s a step", pace=pace)
                if ahead > 0:
                    values = {"time": spoken(pace * ahead), "step": FIRST}
                    said += _("; {time} to step {step:,}, when shapes can be seen", **values)
                self.say(said)
                values = {"time": spoken(left), "command": resuming()}
                self.say(_("some {time} to go; Ctrl-C stops and saves, {command} goes on", **values))
        last = rows[-1]
        epoch = _("epoch {epoch}/{epochs}", epoch=last["epoch"] + 1, epochs=self.epochs)
        losses = "  ".join(f"{name} {last[name]:.3f}" for name in last if name.startswith("loss"))
        self.bar.set_description_str(epoch, refresh=False)
        self.bar.set_postfix_str(losses, refresh=False)
        self.bar.update(len(rows))
        if not self.terminal and any(row["step"] % self.line_every == 0 for row in rows):
            shown = tqdm.format_interval(left)
            values = {"epoch": epoch, "step": last["step"], "losses": losses, "speed": speed, "time": shown}
            print(_("{epoch}  step {step}  {losses}  {speed:.0f} images/s  {time} left", **values), flush=True)
        return speed

    def say(self, text: str) -> None:
        """Print a line without tearing the bar."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()
