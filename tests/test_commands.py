"""The commands as a person calls them: one of each in a process of its own, from another folder; the rest in this."""

from __future__ import annotations

import csv
import hashlib
import json
import shutil
import signal
import subprocess
import sys

from common import data, publish, sample
from common.judging.judge import classify, load_judge
from common.judging.reference import Examiner
from common.run import progress
from common.run.families import builder, families, script
from common.run.flags import flag_of, parse_flags
from common.run.runs import best_distance, load_game
from common.settings import settings_of
from tests.conftest import ROOT, call, check_refused, make_gan, train, users_environment
from tests.runs import TOY

import numpy as np
import paddle
import pytest
from PIL import Image
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
        "0000_0000.png", "0000_0030.png", "0001_0003.png", "0001_0012.png",
    ]  # fmt: skip
    with Image.open(run_dir / "samples/0001_0012.png") as grid:
        assert grid.size == (8 * 34 + 2, 8 * 34 + 2)
    with Image.open(run_dir / "progress.gif") as gif:
        assert gif.n_frames == 4
    with (run_dir / "losses.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert [int(row["step"]) for row in rows] == list(range(70))
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
                  "python -m common.sample"):  # fmt: skip
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


def test_plain_paddle_load_gives_the_pictures_of_sample(run_dir, tmp_path):
    """And the command, in a process of its own, from another folder, says nothing on stderr."""
    done = call("-m", "common.sample", run_dir, "--count", "10", "--seed", "3", "--npy", tmp_path / "a.npy",
                "--weights", "generator.params", "--out", tmp_path / "grid.png",
                cwd=tmp_path, PYTHONPATH=str(ROOT))  # fmt: skip
    assert (done.returncode, done.stderr) == (0, "")
    gan = make_gan("dcgan")
    generator = gan.networks["generator"]
    generator.set_state_dict(paddle.load(str(run_dir / "generator.params")))
    expected = gan.sample(gan.latent(np.random.default_rng(3), 10))
    np.testing.assert_allclose(np.load(tmp_path / "a.npy"), expected, atol=1e-6)


def test_sample_repeats_and_is_cut_from_one_stream(run_dir, tmp_path, say):
    def npy(*flags: object) -> np.ndarray:
        assert say(sample.main, run_dir, "--npy", tmp_path / "a.npy", *flags).status == 0
        return np.load(tmp_path / "a.npy")

    first = npy("--count", 9)
    assert first.dtype == np.float32
    assert first.shape == (9, 1, 32, 32)
    assert np.abs(first).max() <= 1
    assert (first == npy("--count", 9)).all()
    np.testing.assert_allclose(first[:4], npy("--count", 4), atol=1e-6)
    assert np.abs(first - npy("--count", 9, "--seed", 1)).max() > 0.1
    walk = npy("--count", 9, "--interpolate", 0, 1)
    np.testing.assert_allclose(walk[0], first[0], atol=1e-6)
    np.testing.assert_allclose(walk[-1], npy("--count", 1, "--seed", 1)[0], atol=1e-6)
    steps = np.abs(np.diff(walk, axis=0)).mean(axis=(1, 2, 3))
    assert steps.max() < np.abs(walk[0] - walk[-1]).mean()  # in small steps, not in one leap


def test_sample_writes_a_grid(run_dir, tmp_path, say):
    said = say(sample.main, run_dir, "--count", 6, "--columns", 3, "--out", tmp_path / "grid.png")
    assert (said.status, said.err) == (0, "")
    with Image.open(tmp_path / "grid.png") as grid:
        assert grid.size == (3 * 34 + 2, 2 * 34 + 2)


def test_sample_takes_the_best_weights_there_are_and_says_which(run_dir, tmp_path, say):
    """A run that was judged has some that were best; another has the last ones."""
    unjudged = shutil.copytree(run_dir, tmp_path / "unjudged", ignore=shutil.ignore_patterns("*_best.params"))
    for run, weights in ((run_dir, "generator_best.params"), (unjudged, "generator.params")):
        drawn = {}
        for name, flags in (("free", []), ("named", ["--weights", weights])):
            said = say(sample.main, run, "--count", 2, "--npy", tmp_path / "a.npy", *flags)
            assert said.out.endswith(f"by {weights}\n")
            drawn[name] = np.load(tmp_path / "a.npy")
        assert (drawn["free"] == drawn["named"]).all()


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


def test_many_images_are_drawn_in_parts_that_make_the_whole(monkeypatch):
    """`sample` takes NumPy or a tensor, of any length, and draws so many at once."""
    gan = make_gan("dcgan")
    latent = gan.latent(np.random.default_rng(0), 7)
    whole = gan.sample(latent)
    monkeypatch.setattr("common.game.AT_ONCE", 3)
    seen = []
    gan.networks["generator"].register_forward_pre_hook(lambda layer, inputs: seen.append(len(inputs[0])))
    for z in (latent, paddle.to_tensor(latent)):
        np.testing.assert_allclose(gan.sample(z), whole, atol=1e-6)
    assert seen == [3, 3, 1] * 2


@pytest.mark.parametrize("family", ["lsgan", "wgan_gp"])  # one of each kind; the others below
def test_help_from_any_folder(tmp_path, family):
    done = call(ROOT / script(family), "--help", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")
    assert f"usage: {script(family)} " in done.stdout


@pytest.mark.parametrize("family", families())
def test_help_explains_every_flag(capsys, family):
    with pytest.raises(SystemExit) as ended:
        parse_flags(family, builder(family), ["--help"])
    said = capsys.readouterr()
    assert (ended.value.code, said.err) == (0, "")
    for flag in ("--epochs", "--batch-size", "--dataset", "--data-dir", "--output-dir", "--seed", "--max-steps",
                 "--sample-every", "--device", "--threads"):  # fmt: skip
        assert flag in said.out
    settings = settings_of(builder(family))
    assert "learning_rate" in {setting.name for setting in settings}
    assert all(flag_of(setting.name) in said.out for setting in settings)


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
        (["--data-dir", "/no/such/folder"], "--data-dir: no folder /no/such/folder"),
        (["--output-dir", "/dev/null/x"], "/dev/null/x"),
    ],
)
def test_a_bad_flag_is_one_line_and_status_2(tmp_path, monkeypatch, say, flags, words):
    monkeypatch.chdir(tmp_path)
    dataset = [] if "--data-dir" in flags else ["--dataset", "digits"]
    check_refused(say(train, "dcgan", "--max-steps", "1", *dataset, *flags), words)
    assert not list(tmp_path.iterdir())


def test_a_damaged_data_file_leaves_the_earlier_run_in_place(half, mnist_dir, say):
    (mnist_dir / "train-images-idx3-ubyte.gz").write_bytes(b"no gzip")
    before = sorted(half.iterdir())
    said = say(train, "toy", "--data-dir", mnist_dir, "--output-dir", half)
    assert said.status == 2
    assert "not a sound gzip file" in said.err.splitlines()[-1]
    assert sorted(half.iterdir()) == before


@pytest.mark.parametrize(
    ("flags", "words"),
    [
        (["{run}"], "nothing to write"),
        (["{run}", "--out", "no/folder/a.png"], "there is no folder no/folder"),
        (["{run}", "--out", "grid"], "--out grid: expected a name that ends in .png"),
        (
            ["nowhere", "--out", "a.png"],
            "nowhere/config.json: No such file or directory; name a folder that a training",
        ),
        (["{run}", "--weights", "none.params", "--out", "a.png"], "none.params: No such file"),
        (["{run}", "--weights", "discriminator.params", "--out", "a.png"], "not weights of this Generator"),
        (["{run}", "--weights", "losses.csv", "--out", "a.png"], "losses.csv"),
        (["{run}", "--digit", "7", "--out", "a.png"], "--digit: dcgan knows no labels"),
        (["{run}", "--digit", "10", "--out", "a.png"], "--digit"),
        (["{run}", "--code", "7", "--out", "a.png"], "--code: dcgan has no code"),
        (["{run}", "--reconstruct", "--out", "a.png"], "--reconstruct: dcgan draws from noise only"),
        (["{run}", "--reconstruct", "--digit", "7", "--out", "a.png"], "--reconstruct: draws from real images"),
        (["{run}", "--reconstruct", "--count", "5", "--out", "a.png"], "--count 5: with --reconstruct a multiple"),
    ],
)
def test_sample_bad_input(run_dir, tmp_path, monkeypatch, say, flags, words):
    monkeypatch.chdir(tmp_path)
    check_refused(say(sample.main, *(flag.format(run=run_dir) for flag in flags)), words)
    assert not list(tmp_path.iterdir())


def test_the_best_generator_is_the_one_of_the_least_distance(run_dir):
    """The run's own: its file gives the distance that is least in `metrics.jsonl`."""
    found = Examiner(data.load("digits")).examine(load_game(run_dir, "generator_best.params"))
    assert found["raw"]["frechet"] == pytest.approx(best_distance(run_dir), rel=1e-3)


@pytest.mark.parametrize("family", ['"../../evil"', '"common"', '"tests"', "null", "[]"])
def test_config_names_no_module_but_a_family(tmp_path, say, family):
    (tmp_path / "config.json").write_text(f'{{"family": {family}}}')
    check_refused(say(sample.main, tmp_path, "--out", tmp_path / "a.png"), "expected one of dcgan, ")


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


def test_published_weights_draw_and_say_what_they_are(run_dir, tmp_path, say):
    folder = tmp_path / "given"
    said = say(publish.main, run_dir, folder, "--samples", 100)
    assert (said.status, said.err) == (0, "")
    assert {path.name for path in folder.iterdir()} == {"README.md", "config.json", "generator.params"}
    content = (folder / "generator.params").read_bytes()
    assert content in [path.read_bytes() for path in run_dir.glob("generator*.params")]
    written = (folder / "README.md").read_text()
    assert hashlib.sha256(content).hexdigest() in written
    assert "a run of 70 updates of 32 images, seed 42" in written
    assert str(run_dir.parent) not in written + (folder / "config.json").read_text()
    assert say(sample.main, folder, "--count", 4, "--out", tmp_path / "a.png").status == 0


def test_the_pretrained_cgan_draws_the_digit_asked_for(tmp_path, say):
    for digit in (3, 7):
        flags = ["--digit", digit, "--count", 100, "--npy", tmp_path / "a.npy"]
        assert say(sample.main, ROOT / "zoo/pretrained/cgan", *flags).status == 0
        read = classify(load_judge("mnist"), np.load(tmp_path / "a.npy")).classes
        assert (read == digit).mean() >= 0.97


@pytest.mark.parametrize("family", ["dcgan", "lsgan"])
def test_the_pretrained_weights_draw(tmp_path, family, say):
    """Made by an earlier version: those of the repository itself."""
    folder = shutil.copytree(ROOT / family / "pretrained", tmp_path / "pretrained")
    said = say(sample.main, folder, "--count", 4, "--npy", tmp_path / "a.npy")
    assert (said.status, said.err) == (0, "")
    assert np.load(tmp_path / "a.npy").std() > 0.3  # strokes on black, not the grey of a network that knows nothing
