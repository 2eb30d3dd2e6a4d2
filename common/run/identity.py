"""What makes a run this run: with any of it changed, `--resume` would give neither the old run nor a new one."""

from __future__ import annotations

import contextlib
import sys
from pathlib import Path
from typing import Any

from common.errors import UserError
from common.language import _
from common.run.flags import flag_of
from common.run.runs import load_config
from common.settings import Setting


def identity(config: dict[str, Any], settings: list[Setting]) -> dict[str, Any]:
    """What `config.json` says of it: family, data and flags. Of the family's settings, those of Adam, and the others
    where they are not the default."""
    flags = config["flags"]
    several = {"processes": config["processes"]} if config["processes"] > 1 else {}
    names = ["seed", "batch_size"]
    names += [s.name for s in settings if s.name in ("learning_rate", "beta1") or flags[s.name] != s.default]
    names += ["sync_batchnorm"] if flags.get("sync_batchnorm") else []
    names += ["linear_decay", "epochs"] if flags["linear_decay"] else []  # the end that the step sizes fall to
    fixed = {flag_of(name): flags[name] for name in names}
    labels = {"labels": f"folder {config['labels']}"} if config.get("labels") else {}  # of one's own pictures
    data_set = {"data set": f"{config['dataset']} {config['checksum']}", **labels}
    return {"family": config["family"], **data_set, **several, **fixed}


def check_identity(path: Path, mine: dict[str, Any], settings: dict[str, Any], content: dict[str, Any]) -> None:
    """Raise `UserError` where the run that wants to go on is another than the one in a checkpoint.

    Every setting is compared, not only those in the `identity` of either: a default may be another one since. What a
    setting that is newer than the run stood for nobody knows: it is said, where it is not off.

    Args:
        path: of the checkpoint.
        mine, settings: the `identity` of the run that wants to go on, and its settings.
        content: what the checkpoint holds.
    """
    kept = content.get("settings", {})
    if not kept:  # earlier versions have all of them in `config.json` only
        with contextlib.suppress(UserError):
            kept = load_config(path.parent).get("flags", {})
    both = [name for name, value in settings.items() if value is not None and kept.get(name) is not None]
    mine = {**mine, **{flag_of(name): settings[name] for name in both}}
    its = {**content["identity"], **{flag_of(name): kept[name] for name in both}}
    if "labels" not in its:  # earlier versions did not keep them
        mine.pop("labels", None)
    for name in sorted({**mine, **its}, key="data set".__eq__):  # last: --size makes others of one's own pictures
        now, then = (known.get(name, _("the default")) for known in (mine, its))
        if now == then or all(str(one).startswith("digits ") for one in (now, then)):
            continue  # digits are the package's own; earlier versions had another checksum for each size
        if all(str(one).startswith("folder ") for one in (now, then)):
            said = _(
                "{path}: it was trained on other pictures, or with another --background or --pad; give it those, "
                "or train without --resume",
                path=path,
            )
        elif name == "family":
            values = {"path": path, "then": then, "now": now}
            said = _(
                "{path}: a run of {then}, not of {now}; resume it as {then}, or take another --output-dir", **values
            )
        else:
            values = {"path": path, "name": name, "then": then, "now": now}
            said = _("{path}: {name} was {then} and is now {now}; resume with {then}, or without --resume", **values)
        raise UserError(said)
    newer = [f"{flag_of(name)} {value}" for name, value in settings.items() if kept and name not in kept and value]
    if newer:
        values = {"path": path, "newer": ", ".join(newer)}
        print(
            _("note: {path}: new since this run began: {newer}; to go on as before, turn it off", **values),
            file=sys.stderr,
        )
