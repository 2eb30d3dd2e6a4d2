"""What a class hands in: one submission made as a student makes it, and others put together from it."""

from __future__ import annotations

import hashlib
import json
import struct
import sys
import zipfile
import zlib
from pathlib import Path

from assignment import starter, submit
from assignment.replay import first_steps
from assignment.student import RUNS, Student, filled, flags
from common import data
from common.run.families import builder
from common.train import run
from tests.conftest import forget_students, here, train

STEPS = 4
SIGMOID = "            nn.Sigmoid(),\n"
ANNA, LEI, MEI = Student("20230001", "Anna"), Student("20230002", "李雷"), Student("20230003", "韩梅梅")
ANSWERS = {
    n: f"Answer {n}: the square keeps a gradient wherever the score is, as figure {n} shows." for n in range(1, 6)
}


def change(path: Path, old: str, new: str) -> None:
    """Replace what stands in a file once."""
    text = path.read_text(encoding="utf-8")
    assert text.count(old) == 1
    path.write_text(text.replace(old, new), encoding="utf-8")


def hand_in(folder: Path) -> None:
    """Anna's submission, `folder/right.zip`: by the starter, both trainings and `submit.py`."""
    mine = folder / "my_lsgan"
    assert here(starter.main, mine, "--number", ANNA.number, "--name", ANNA.name, "--language", "en") == 0
    change(mine / "model.py", SIGMOID, "")
    change(mine / "train.py", "nn.BCELoss()", "nn.MSELoss()")
    report = mine / "report.md"
    report.write_text(filled(report.read_text(encoding="utf-8"), ANSWERS), encoding="utf-8")
    given = [*flags(ANNA, "digits"), "--max-steps", str(STEPS), "--eval-every", "0", "--threads", "1"]
    assert train("dcgan", *given, "--output-dir", folder / "dcgan") == 0
    sys.path.insert(0, str(folder))
    try:
        build = __import__("my_lsgan.train").train.build
        assert here(lambda flags: run("my_lsgan", build, flags), *given, "--output-dir", folder / "lsgan") == 0
    finally:
        sys.path.remove(str(folder))
    runs = ["--dcgan", folder / "dcgan", "--lsgan", folder / "lsgan"]
    assert here(submit.main, mine, *runs, "--out", folder / "right.zip") == 0
    forget_students()  # the test that came first goes on in this process


def files_of(archive: Path) -> dict[str, bytes]:
    """The files of a zip."""
    with zipfile.ZipFile(archive) as opened:
        return {name: opened.read(name) for name in opened.namelist()}


def of_another(files: dict[str, bytes], who: Student, own_losses: bool = True) -> dict[str, bytes]:
    """Anna's files as another student's: the seed, and where `own_losses` the answers and losses, too."""
    made = dict(files)
    for name in RUNS:
        config = json.loads(files[f"{name}/config.json"])
        config["identity"]["--seed"] = who.seed
        made[f"{name}/config.json"] = json.dumps(config).encode()
        if own_losses:
            given = [*flags(who, "digits"), "--max-steps", str(STEPS), "--threads", "1"]
            rows = first_steps(name, builder(name), given, data.load("digits"))
            lines = [",".join(rows[0]), *(",".join(map(repr, row.values())) for row in rows)]
            made[f"{name}/losses.csv"] = ("\n".join(lines) + "\n").encode()
    if own_losses:
        own = {
            n: f"{who.name}的第 {n} 题：均方误差在两侧都有梯度，离目标值越远，梯度越大，所以生成器总能学到东西。"
            for n in ANSWERS
        }
        made["report.md"] = filled(files["report.md"].decode(), own).encode()
    return sealed(made, who)


def sealed(files: dict[str, bytes], who: Student, **changed: object) -> dict[str, bytes]:
    """The files with the manifest that fits them."""
    sums = {name: hashlib.sha256(content).hexdigest() for name, content in files.items() if name != "submission.json"}
    manifest = {**who._asdict(), "folder": "my_lsgan", "files": sums, **changed}
    return {**files, "submission.json": json.dumps(manifest).encode()}


def in_code(files: dict[str, bytes], who: Student, old: str, new: str) -> dict[str, bytes]:
    """The files with something replaced in `train.py`."""
    code = files["code/train.py"].decode()
    assert old in code
    return sealed({**files, "code/train.py": code.replace(old, new).encode()}, who)


class GbkInfo(zipfile.ZipInfo):
    """An entry named as Chinese Windows names it, in GBK, without a word about it; and once more, as by WinRAR."""

    def __init__(self, filename: str) -> None:
        super().__init__(filename)
        told = struct.pack("<BL", 1, zlib.crc32(filename.encode("gbk"))) + filename.encode()
        self.extra = struct.pack("<HH", 0x7075, len(told)) + told

    def _encodeFilenameFlags(self):  # noqa: N802  the standard library's
        return self.filename.encode("gbk"), self.flag_bits & ~0x800


def write_zip(path: Path, files: dict[str, bytes], base: str = "", kind: type = zipfile.ZipInfo) -> None:
    """Write a zip, all names below `base`."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            entry = kind(base + name)
            entry.compress_type = zipfile.ZIP_DEFLATED
            archive.writestr(entry, content)


def a_class(folder: Path, right: Path) -> None:
    """Twelve submissions, `right` among them."""
    files = files_of(right)
    lei, gbk = of_another(files, LEI), Student("20230004", "王小明")
    assert set(lei) == set(files)
    write_zip(folder / "right.zip", files)
    half = {name: content for name, content in lei.items() if not name.startswith("lsgan/")}
    half["code/model.py"] = half["code/model.py"].replace(
        b"            *score_layers(channels, size),\n",
        b"            *score_layers(channels, size),\n            nn.Sigmoid(),\n",
    )
    write_zip(folder / "half.zip", sealed(half, LEI))
    write_zip(folder / "copied.zip", of_another(files, MEI, own_losses=False))
    windows = of_another(files, gbk)
    windows = sealed({**windows, "report.md": windows["report.md"].decode().encode("gbk")}, gbk)
    write_zip(folder / "gbk.zip", windows, "作业_王小明/", GbkInfo)

    build = "    criterion = nn.MSELoss()\n"
    hostile = {
        "hangs": "    while True:\n        pass\n",
        "secrets": "    import os\n    raise ValueError(dict(os.environ))\n",
        "system": "    import os\n    os.system('touch ' + __file__ + '.owned')\n",
    }
    for place, (name, line) in enumerate(hostile.items(), 5):
        write_zip(folder / f"{name}.zip", in_code(lei, Student(f"2023000{place}", name), build, line + build))
    rated = in_code(lei, Student("20230008", "=HYPERLINK(1)"), "criterion, **settings", "criterion, learning_rate=0.01")
    write_zip(folder / "rate.zip", rated)

    write_zip(folder / "empty.zip", {})
    write_zip(folder / "bomb.zip", {**lei, "dcgan/losses.csv": bytes(200 * 2**20)})
    write_zip(folder / "climbs.zip", {**lei, "../../owned.txt": b"x"})
    link = zipfile.ZipInfo("report.md")
    link.external_attr = 0o120777 << 16
    write_zip(folder / "link.zip", {name: content for name, content in lei.items() if name != "report.md"})
    with zipfile.ZipFile(folder / "link.zip", "a") as archive:
        archive.writestr(link, "/etc/passwd")
