"""The commands as a person calls them: one of each in a process of its own, from another folder; the rest in this."""

from __future__ import annotations

import csv
import hashlib
import json
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable

from commands import publish, sample
from common.files.weights import load_into, load_params
from common.gan import GAN
from common.run import progress
from common.run import words as last_words
from common.run.families import builder, script
from common.run.flags import parse_flags
from common.run.recorder import Recorder
from common.run.runs import load_game, load_losses
from tests.conftest import ROOT, call, check_refused, make_gan, train, users_environment
from tests.runs import TOY

import numpy as np
import paddle
import pytest
from PIL import Image
from safetensors import safe_open
from visualdl import LogReader

WRITTEN = {
    ".lock", "checkpoint.params", "config.json", "discriminator.params", "generator.params",
    "generator_ema.params", "losses.csv", "metrics.jsonl",
    "progress.gif", "samples", "vdlrecords.run.log",
}  # fmt: skip


def test_a_run_writes_what_the_contract_says(run_dir):
    assert {path.name for path in run_dir.iterdir()} == WRITTEN | {
        "checkpoint-previous.params",
        "generator_best.params",
    }
    assert sorted(path.name for path in (run_dir / "samples").iterdir()) == [
        "0000_0000.png", "0000_0030.png", "0001_0003.png", "0001_0004.png",
    ]  # fmt: skip
    with Image.open(run_dir / "samples/0001_0004.png") as grid:
        assert grid.size == (8 * 34 + 2, 2 * 34 + 2)
    with Image.open(run_dir / "progress.gif") as gif:
        assert gif.n_frames == 4
    with (run_dir / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(62))
    assert (rows[57]["epoch"], rows[57]["batch"]) == ("1", "0")  # 57 batches an epoch, the last one of 5 images
    assert float(rows[-1]["loss_d"]) < float(rows[0]["loss_d"])
    config = json.loads((run_dir / "config.json").read_text())
    assert (config["family"], config["dataset"], config["device"]) == ("dcgan", "digits", "cpu")
    assert config["parameters"] == {"generator": 1_066_880, "discriminator": 661_248}
    assert config["flags"]["seed"] == 42
    assert config["scores"] == [0, 1]
    assert config["identity"]["--learning-rate"] == 2e-4


def test_what_a_person_sees(run_dir):
    """A header, plain lines where the output is no terminal, the way on; and not one warning."""
    shown = run_dir.with_name("stdout.txt").read_text()
    for words in ("DCGAN on cpu", f"Paddle {paddle.__version__}", "digits, 1,797 images", "generator 1,066,880",
                  str(run_dir), "epoch 2/100  step 60", "images/s", "left", "generator.params",
                  "python -m commands.sample"):  # fmt: skip
        assert words in shown
    assert run_dir.with_name("stderr.txt").read_text() == ""


def test_visualdl_records(run_dir):
    reader = LogReader(file_path=str(run_dir / "vdlrecords.run.log"))
    tags = reader.get_tags()
    scalars = {tag for tag in tags["scalar"] if not tag.startswith("metric/")}
    assert scalars == {"loss/D", "loss/G", "score/real", "score/fake", "speed/images a second", "grad/G"}
    assert [point.id for point in reader.get_data("scalar", "loss/D")] == [0, 20, 40, 60]
    assert [point.id for point in reader.get_data("image", "samples")] == [56]
    assert "hyper_parameters" in tags or "hparam" in str(tags)


def test_two_runs_with_one_seed_are_equal_and_the_first_is_kept(tmp_path):
    flags = [*TOY, "--batch-size", 8, "--max-steps", 6, "--output-dir", tmp_path / "run"]
    for _ in range(2):
        assert train("lsgan", *flags) == 0
    first, second = tmp_path / "run/earlier-1", tmp_path / "run"
    for name in ("losses.csv", "generator.params", "discriminator.params", "samples/0000_0005.png"):
        assert (first / name).read_bytes() == (second / name).read_bytes(), name


def test_a_long_run_says_once_how_to_stop_it_and_go_on(capsys, monkeypatch):
    now = [0.0]
    monkeypatch.setattr(progress.time, "perf_counter", lambda: now[0])
    for seconds, words in ((2.0, "some 2.8 hours to go; Ctrl-C stops and saves"), (0.01, "")):
        bar = progress.Progress(5000, 32, 100, 100)
        for step in range(60):
            now[0] += seconds
            bar.advance([{"step": step, "epoch": 0, "loss_d": 1.0}])
        said = capsys.readouterr().out
        assert said.count("to go; Ctrl-C") == bool(words)
        assert words in said


@pytest.mark.parametrize("family", ["lsgan", "wgan_gp"])  # one of each kind; the others below
def test_help_from_any_folder(tmp_path, family):
    """Its example can be copied there."""
    done = call(ROOT / script(family), "--help", cwd=tmp_path, COLUMNS="500")
    assert (done.returncode, done.stderr) == (0, "")
    assert f"example: python {ROOT / script(family)} --dataset digits --epochs 20\n" in done.stdout


def test_a_students_family_is_named_by_its_own_file(tmp_path, monkeypatch, capsys):
    """It is the program that runs, and stands anywhere: there is no `zoo/mine.py`."""
    monkeypatch.setattr(sys.modules["__main__"], "__file__", str(tmp_path / "mine/train.py"), raising=False)
    for place, name in ((tmp_path, "mine/train.py"), (ROOT, tmp_path / "mine/train.py")):
        monkeypatch.chdir(place)
        with pytest.raises(SystemExit):
            parse_flags("mine", builder("dcgan"), ["--epochs", "0"])
        assert capsys.readouterr().err.startswith(f"{name}: argument --epochs: 0 is too small")


@pytest.fixture
def lines_next(capsys) -> Callable[..., list[str]]:
    """What a run says to do next."""

    def said(family: str, networks: tuple[str, ...], folder: Path) -> list[str]:
        last_words.print_end({"family": family, "parameters": dict.fromkeys(networks, 1), "note": ""}, folder, 0, 5)
        out = capsys.readouterr().out
        assert "(" not in out.partition("next")[2]
        return re.findall(r"^next +(.*)$", out, re.M)

    return said


def test_what_comes_next_can_be_copied(tmp_path, monkeypatch, lines_next):
    """From the folder where the run was started, for the Python that is in use."""
    monkeypatch.setattr(last_words.shutil, "which", lambda name: str(Path(sys.executable).with_name(name)))
    run, networks = Path("work/a b"), ("generator",)
    monkeypatch.chdir(ROOT)
    drawn = "python -m commands.sample 'work/a b' --out grid.png"
    assert lines_next("dcgan", networks, run) == [drawn, "python -m commands.board work"]
    monkeypatch.chdir(tmp_path)
    drawn = f"cd {ROOT} && python -m commands.sample '{tmp_path}/work/a b' --out grid.png"
    assert lines_next("dcgan", networks, run) == [drawn, f"cd {ROOT} && python -m commands.board {tmp_path}/work"]
    drawn = f"cd {ROOT} && python -m commands.sample work/a --reconstruct --out grid.png"
    assert lines_next("cyclegan", ("one",), ROOT / "work/a") == [drawn, f"cd {ROOT} && python -m commands.board work"]
    monkeypatch.chdir(ROOT)
    drawn = "python -m commands.sample ./-x/run --out grid.png"  # what begins with a dash would be a flag
    assert lines_next("dcgan", networks, Path("-x/run")) == [drawn, "python -m commands.board ./-x"]
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(last_words.shutil, "which", lambda name: "/another/bin/python")
    monkeypatch.setattr(sys, "executable", "/a/bin/python")
    assert all("&& /a/bin/python -m commands." in line for line in lines_next("dcgan", networks, run))


def test_what_the_commands_would_refuse_does_not_come_next(tmp_path, monkeypatch, lines_next):
    monkeypatch.chdir(tmp_path)
    assert [line for line in lines_next("my_lsgan", ("generator",), Path("work/my_lsgan")) if "sample" in line] == []


def test_the_average_stands_behind_the_generator(tmp_path, capsys):
    (tmp_path / "generator_ema.params").touch()
    networks = dict.fromkeys(("encoder", "generator", "discriminator"), 1)
    last_words.print_end({"family": "vae_gan", "parameters": networks, "note": ""}, tmp_path, 0, 5)
    line = "weights: encoder.params, generator.params, generator_ema.params (their average), discriminator.params\n"
    assert line in capsys.readouterr().out
    last_words.print_end({"family": "cyclegan", "parameters": {"g_b": 1}, "note": ""}, tmp_path, 0, 5)
    assert "weights: g_b.params, generator_ema.params (their average)\n" in capsys.readouterr().out


def test_the_commands_are_listed():
    done = call("-m", "commands")
    assert (done.returncode, done.stderr) == (0, "")
    for name in ("board", "compare", "evaluate", "sample"):
        assert f"python -m commands.{name} " in done.stdout
    assert "commands.invert" not in done.stdout


def test_the_loop_is_no_command(tmp_path):
    done = call("-m", "common.train", "--help")
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr == "error: this is the loop of all families, no command: python dcgan/train.py --help\n"


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["--epochs", "0"], "--epochs"),
        (["--epochs", "many"], "'many' is not a whole number"),
        (["--batch-size", "1"], "--batch-size"),
        (["--learning-rate", "-1"], "--learning-rate"),
        (["--learning-rate", "nan"], "--learning-rate"),
        (["--learning-rate-d", "0"], "--learning-rate-d"),
        (["--beta1", "1"], "--beta1"),
        (["--label-smoothing", "0.5"], "--label-smoothing"),
        (["--dataset", "cifar"], "--dataset"),
        (["--seed", "-1"], "--seed"),
        (["--max-steps", "0"], "--max-steps"),
        (["--sample-every", "0"], "--sample-every"),
        (["--threads", "0"], "--threads"),
        (["--epoch", "3"], "--epoch"),  # no guessing from a part of a flag
        (["--nonsense"], "--nonsense"),
        (["--device", "tpu"], "--device tpu: expected auto, cpu, gpu or gpu:N"),
        (["--device", "gpu:99"], "use --device cpu"),
        (["--device", "gpu:99999999999"], "expected auto, cpu, gpu or gpu:N"),
        (["--data-dir", "/no/such/folder"], "--data-dir: no folder /no/such/folder"),
        (["--output-dir", "/dev/null/x"], "--output-dir /dev/null/x: Not a directory; name another folder"),
        (["--output-dir", "/dev/null"], "--output-dir /dev/null: File exists; name another folder"),
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(tmp_path, monkeypatch, say, flags, words):
    monkeypatch.chdir(tmp_path)
    dataset = [] if "--data-dir" in flags else ["--dataset", "digits"]
    check_refused(say(train, "dcgan", "--max-steps", "1", *dataset, *flags), words)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("flag", ["--data-dir", "--output-dir"])
def test_a_link_to_itself_is_one_line_and_status_2(tmp_path, say, flag):
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for path in ("loop", "loop/below"):
        said = say(train, "dcgan", "--dataset", "folder", flag, tmp_path / path)
        check_refused(said, f"{flag}: {tmp_path / path}: a link that leads to itself; remove it")


def test_a_damaged_data_file_leaves_the_earlier_run_in_place(half, mnist_dir, say):
    (mnist_dir / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    before = sorted(half.iterdir())
    said = say(train, "toy", "--data-dir", mnist_dir, "--output-dir", half)
    assert said.status == 2
    assert "expected an IDX header" in said.err.splitlines()[-1]
    assert sorted(half.iterdir()) == before


def test_ctrl_c_saves_and_ends_with_130(tmp_path):
    running = subprocess.Popen(
        [sys.executable, "dcgan/train.py", "--dataset", "digits", "--device", "cpu", "--output-dir", tmp_path / "run"],
        cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env={**users_environment(), "PYTHONUNBUFFERED": "1"},
    )  # fmt: skip
    for line in running.stdout:
        if "step 0" in line:
            break
    running.send_signal(signal.SIGINT)
    shown, errors = running.communicate(timeout=60)
    assert running.returncode == 130
    assert "stopped after" in shown
    assert "Traceback" not in errors
    assert {path.name for path in (tmp_path / "run").iterdir()} == WRITTEN


def test_auto_says_so_at_the_start_at_the_end_and_in_the_config(tmp_path, say):
    said = say(train, "toy", *TOY, "--dataset", "auto", "--data-dir", tmp_path / "no", "--max-steps", 2,
               "--output-dir", tmp_path / "run")  # fmt: skip
    assert (said.status, said.err) == (0, "")
    assert said.out.count("!!! NOT MNIST") == 2
    assert said.out.index("!!!") < said.out.index("step 0")
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["dataset"] == "digits"
    assert "NOT MNIST" in config["note"]


def test_real_mnist_run(real_mnist, tmp_path, say):
    said = say(train, "dcgan", "--data-dir", real_mnist, "--max-steps", 20, "--output-dir", tmp_path / "run")
    assert (said.status, said.err) == (0, "")
    config = json.loads((tmp_path / "run/config.json").read_text())
    assert config["checksum"] == "md5:f68b3c2dcbeaaa9fbdd348bbdeb94873"
    with (tmp_path / "run/losses.csv").open() as file:
        losses = [float(row["loss_d"]) for row in csv.DictReader(file)]
    assert np.mean(losses[-10:]) < 1.3  # D at chance has 2 log 2 = 1.39


def program(folder: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The program of a card, which draws what the command does."""
    (found,) = re.findall(r"^```python\n(.*?)^```", (folder / "README.md").read_text(encoding="utf-8"), re.M | re.S)
    monkeypatch.chdir(folder)
    names: dict = {}
    exec(found, names)
    assert names["images"].shape == [64, 1, 32, 32]
    drawn = load_game(folder).sample(names["z"])
    np.testing.assert_allclose(names["images"].numpy(), drawn, atol=1e-5)
    return found


@pytest.mark.parametrize("folder", ["dcgan/pretrained", "lsgan/pretrained", "zoo/pretrained/cgan"])
def test_a_card_has_a_program_of_plain_paddle(folder, monkeypatch):
    found = program(ROOT / folder, monkeypatch)
    assert found == publish.plain_program(load_game(ROOT / folder), "generator.params")
    assert found.count("\n") <= 14
    assert {*re.findall(r"^(?:from|import) (\w+)", found, re.M)} == {"paddle"}


def test_a_run_that_goes_on_while_it_is_published_is_refused(run_dir, tmp_path, say, monkeypatch):
    """The card had the figures of other weights; and what another one published meanwhile was overwritten."""
    run, judge = shutil.copytree(run_dir, tmp_path / "run"), publish.judge_runs
    asked = run, tmp_path / "given", "--samples", 100

    def meanwhile(happens: Callable[[], object]) -> None:
        monkeypatch.setattr(publish, "judge_runs", lambda *given, **more: (judge(*given, **more), happens())[0])

    meanwhile(lambda: [path.write_bytes(path.read_bytes() + b" ") for path in run.glob("generator*.params")])
    check_refused(say(publish.main, *asked), "it changed while it was judged")
    run = shutil.copytree(run_dir, tmp_path / "other")
    meanwhile(lambda: shutil.copytree(ROOT / "dcgan/pretrained", tmp_path / "given"))
    check_refused(say(publish.main, run, *asked[1:]), "weights were published there before")
    for path in run.glob("*.params"):
        path.unlink()
    check_refused(say(publish.main, run, tmp_path / "new"), "no weights yet; wait for the first checkpoint")
    asked = "--dataset", "digits", "--max-steps", 1, "--output-dir", tmp_path / "given"
    before = {path.name for path in (tmp_path / "given").iterdir()}
    said = say(train, "dcgan", *asked)
    assert (said.status, "weights were published there" in said.err) == (2, True)
    assert {path.name for path in (tmp_path / "given").iterdir()} == before


def test_a_run_whose_place_another_one_has_writes_nothing_there(tmp_path, monkeypatch, say):
    """Its folder was renamed: it wrote on by the name, over the other one's weights."""
    moved, draw = [], Recorder.draw_samples

    def drawn(self: Recorder, step: int, *more: object, **named: object) -> None:
        draw(self, step, *more, **named)
        if step and not moved:
            moved.append((tmp_path / "run").rename(tmp_path / "moved"))
            (tmp_path / "run").mkdir()
            (tmp_path / "run/.lock").touch()
            (tmp_path / "run/losses.csv").write_text("another's")

    monkeypatch.setattr(Recorder, "draw_samples", drawn)
    said = say(train, "toy", *TOY, "--max-steps", 41, "--sample-every", 10, "--output-dir", tmp_path / "run")
    assert (said.status, f"{tmp_path / 'run'}: moved while this run wrote there" in said.err) == (2, True)
    assert sorted(path.name for path in (tmp_path / "run").rglob("*") if path.suffix != ".png") == [
        ".lock",
        "losses.csv",
    ]
    assert (tmp_path / "run/losses.csv").read_text() == "another's"


def test_the_recipe_of_several_processes_starts_them():
    config = {"family": "dcgan", "dataset": "mnist", "device": "gpu:0", "processes": 2}
    config["flags"] = {"seed": 1, "batch_size": 32, "epochs": 2, "sync_batchnorm": True}
    launched = "python -m paddle.distributed.launch --nproc_per_node 2"
    flags = "dcgan/train.py --seed 1 --batch-size 32 --epochs 2"
    assert publish.recipe(config) == f"{launched} {flags} --sync-batchnorm"
    config["flags"]["sync_batchnorm"] = False
    assert publish.recipe({**config, "device": "cpu"}) == f"{launched} --backend gloo {flags}"


def test_a_card_has_no_program_of_another_network():
    assert [publish.plain_program(make_gan(family), "a.params") for family in ("bigan", "infogan")] == ["", ""]


def test_half_the_bits_draw_nearly_the_same(tmp_path, monkeypatch):
    """By this repository and by the card's program."""
    game = load_game(ROOT / "dcgan/pretrained")
    latent = game.latent(np.random.default_rng(0), 4)
    drawn = game.sample(latent)
    paddle.save(publish.halved(load_params(ROOT / "dcgan/pretrained/generator.params")), str(tmp_path / "a.params"))
    assert (tmp_path / "a.params").stat().st_size < 0.51 * (ROOT / "dcgan/pretrained/generator.params").stat().st_size
    load_into(game.generator, tmp_path / "a.params")
    assert 0 < np.abs(game.sample(latent) - drawn).max() < 0.01
    monkeypatch.chdir(tmp_path)
    names = {}
    exec(publish.plain_program(game, "a.params", half=True), names)
    images = names["generator"](paddle.to_tensor(latent)).numpy()
    assert np.abs(images - drawn).max() < 0.01


def test_published_weights_draw_and_say_what_they_are(run_dir, tmp_path, say, monkeypatch):
    run, folder = shutil.copytree(run_dir, tmp_path / "run"), tmp_path / "given"
    note = f"NOT MNIST: put it into {run_dir}"  # where `auto` did not find it, somebody's home
    (run / "config.json").write_text(json.dumps({**json.loads((run / "config.json").read_text()), "note": note}))
    said = say(publish.main, run, folder, "--samples", 100, "--note", "the only |\n one")
    assert (said.status, said.err) == (0, "")
    whole = {"README.md", "config.json", "generator.params", "losses.csv", "metrics.jsonl"}
    assert {path.name for path in folder.iterdir()} == whole
    assert (folder / "metrics.jsonl").read_bytes() == (run_dir / "metrics.jsonl").read_bytes()
    few, all_of_them = load_losses(folder), load_losses(run_dir)
    assert list(few) == list(all_of_them)
    assert few["step"].tolist() == [61]
    assert few["loss_d"][0] == pytest.approx(all_of_them["loss_d"].mean(), rel=1e-4)
    content = (folder / "generator.params").read_bytes()
    assert content in [path.read_bytes() for path in run_dir.glob("generator*.params")]
    written = (folder / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in written
    command = "`python dcgan/train.py --seed 42 --batch-size 32 --epochs 100 --max-steps 62 --dataset digits`"
    assert f"{command}: 62 updates of 32 images |\n| chosen · 选择 | the only \\| one |\n" in written
    assert str(run_dir.parent) not in written + (folder / "config.json").read_text()
    assert say(sample.main, folder, "--count", 4, "--out", tmp_path / "a.png").status == 0
    check_refused(say(publish.main, run_dir, folder), "weights were published there before; name a new folder, or")
    assert (folder / "README.md").read_text() == written
    (folder / "metrics.jsonl").unlink()
    again, draw = ["--samples", 100, "--overwrite", "--safetensors"], GAN.population

    def finds(game: GAN, *asked: Any) -> np.ndarray:  # as the self-conditioned GAN, in a network that is left out
        game.label_shares = (0.75, 0.25)
        return draw(game, *asked)

    monkeypatch.setattr(GAN, "population", finds)
    assert say(publish.main, run_dir, folder, *again).status == 0
    assert json.loads((folder / "config.json").read_text())["label_shares"] == [0.75, 0.25]
    assert {path.name for path in folder.iterdir()} == whole | {publish.SAFE}
    assert "the only one" not in (folder / "README.md").read_text()
    with safe_open(folder / publish.SAFE, "np") as file:
        said = file.metadata()
    assert (said["family"], said["sha256"]) == ("dcgan", hashlib.sha256(content).hexdigest())
    assert f"`{said['recipe']}`" in written
    assert float(said["frechet"]) > 0
    drawn = []
    for weights in ("generator.params", publish.SAFE):
        assert say(sample.main, folder, "--weights", weights, "--count", 4, "--npy", tmp_path / "a.npy").status == 0
        drawn.append(np.load(tmp_path / "a.npy"))
    assert (drawn[0] == drawn[1]).all()
    program(folder, monkeypatch)
    assert say(publish.main, folder, tmp_path / "again", "--samples", 100).status == 0
    assert f"{command}: 62 updates" in (tmp_path / "again/README.md").read_text()
    assert (tmp_path / "again/losses.csv").read_bytes() == (folder / "losses.csv").read_bytes()
    kept = {path: path.read_bytes() for path in run_dir.glob("*.*")}
    check_refused(say(publish.main, run_dir, run_dir, "--overwrite"), "which was not published; name a new folder")
    assert {path: path.read_bytes() for path in run_dir.glob("*.*")} == kept


@pytest.mark.parametrize(
    ("change", "missing"),
    [
        (lambda config: config.pop("flags"), "no seed, batch_size, epochs;"),
        (lambda config: config["flags"].pop("epochs"), "no epochs;"),
        (lambda config: config.update(versions=[]), "no paddle;"),
        (lambda config: [config.pop("device"), config.pop("checksum")], "no checksum, device;"),
    ],
)
def test_a_run_that_says_too_little_is_not_published(run_dir, tmp_path, say, change, missing):
    run = Path(shutil.copytree(run_dir, tmp_path / "run"))
    config = json.loads((run / "config.json").read_text())
    change(config)
    (run / "config.json").write_text(json.dumps(config))
    check_refused(say(publish.main, run, tmp_path / "new", "--samples", 100), f"config.json: {missing}")
    assert not (tmp_path / "new").exists()


def test_what_cannot_be_published_is_said_before_it_is_judged(run_dir, tmp_path, say, monkeypatch):
    monkeypatch.setattr(publish, "judge_runs", None)  # would fail
    run = Path(shutil.copytree(run_dir, tmp_path / "run"))
    for weights in run.glob("generator*.params"):
        weights.unlink()
    config = json.loads((run / "config.json").read_text())
    (run / "config.json").write_text(json.dumps({**config, "family": "cyclegan"}))
    check_refused(say(publish.main, run, tmp_path / "new"), "there is no generator to publish")
    (run / "losses.csv").unlink()
    check_refused(say(publish.main, run, tmp_path / "new"), "losses.csv")
    for target in (run / "config.json", run / "config.json/new/er"):
        check_refused(say(publish.main, run, target), f"{target}: {run / 'config.json'} is no folder; name a new one")


@pytest.mark.parametrize(("family", "dataset"), [("dcgan", "cifar10"), ("cifar_gan", "cifar10"), ("dcgan", "mnist")])
def test_the_recipe_of_a_card_names_the_data_set_that_is_not_the_familys_own(family, dataset):
    given = parse_flags(family, builder(family), ["--dataset", dataset])
    config = {"family": family, "dataset": dataset, "flags": {**vars(given), **given.settings}}
    again = parse_flags(family, builder(family), shlex.split(publish.recipe(config))[2:])
    assert again.dataset == dataset
