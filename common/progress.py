"""What a person sees while a run goes on, and how Ctrl-C reaches it."""

from __future__ import annotations

import signal
import sys
import time

from tqdm import tqdm


class Progress:
    """A bar with losses, speed and time left; where the output is no terminal, a plain line now and then instead.

    Args:
        images: images this run will take in, all epochs together.
        epochs: for "epoch 3/100".
        line_every: steps between plain lines.
    """

    def __init__(self, images: int, epochs: int, line_every: int) -> None:
        self.images, self.epochs, self.line_every = images, epochs, line_every
        self.done, self.started = 0, time.perf_counter()
        self.terminal = sys.stdout.isatty()
        self.bar = tqdm(total=images, unit=" images", disable=not self.terminal, dynamic_ncols=True, file=sys.stdout)

    def advance(self, rows: list[dict[str, float]], images: int) -> float:
        """Show the steps in `rows`, which took in `images` images. Returns images a second since the start."""
        self.done += images
        speed = self.done / (time.perf_counter() - self.started)
        last = rows[-1]
        epoch = f"epoch {last['epoch'] + 1}/{self.epochs}"
        losses = "  ".join(f"{name} {last[name]:.3f}" for name in last if name.startswith("loss"))
        self.bar.set_description_str(epoch, refresh=False)
        self.bar.set_postfix_str(losses, refresh=False)
        self.bar.update(images)
        if not self.terminal and any(row["step"] % self.line_every == 0 for row in rows):
            left = tqdm.format_interval((self.images - self.done) / speed)
            print(f"{epoch}  step {last['step']}  {losses}  {speed:.0f} images/s  {left} left", flush=True)
        return speed

    def say(self, text: str) -> None:
        """Print a line without tearing the bar."""
        tqdm.write(text, file=sys.stdout)
        sys.stdout.flush()


class Interrupt:
    """Ctrl-C and SIGTERM ask the loop to stop after the step it is in; a second one ends the program at once."""

    def __init__(self) -> None:
        self.asked = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._ask)

    def _ask(self, number: int, frame: object) -> None:
        self.asked = True
        for again in (signal.SIGINT, signal.SIGTERM):
            signal.signal(again, signal.default_int_handler)
        print("\nstopping after this step and saving; once more stops at once", file=sys.stderr, flush=True)
