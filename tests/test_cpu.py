"""What importing `common` sets up before Paddle is imported."""

from __future__ import annotations

import os

from common.machine import cpu
from tests.conftest import ROOT, call

import numpy as np
import pytest

AMD = "processor : 0\nvendor_id : AuthenticAMD\nflags : fpu sse2 {}\n"


@pytest.mark.parametrize(
    ("cpuinfo", "path"),
    [
        (AMD.format("avx avx2 avx512f"), "7"),
        (AMD.format("avx avx2"), "5"),
        (AMD.format("avx"), None),
        (AMD.format("avx512f").replace("AuthenticAMD", "HygonGenuine"), "7"),
        (AMD.format("avx512f").replace("AuthenticAMD", "GenuineIntel"), None),
        ("processor : 0\nCPU implementer : 0x41\nFeatures : asimd\n", None),  # Arm: no vendor_id
        ("", None),
    ],
)
def test_code_path(cpuinfo, path):
    assert cpu.mkl_code_path(cpuinfo) == path


def test_usable_cores_is_what_this_process_may_use(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3}, raising=False)
    quotas = {"cpu.max": "max 100000"}

    def read(path):
        if path.name in quotas:
            return quotas[path.name]
        raise FileNotFoundError

    monkeypatch.setattr(cpu.Path, "read_text", read)
    assert cpu.usable_cores() == 4
    for quota, cores in (("200000 100000", 2), ("150000 100000", 2), ("10000 100000", 1), ("900000 100000", 4)):
        quotas["cpu.max"] = quota
        assert cpu.usable_cores() == cores
    quotas = {"cpu.cfs_quota_us": "-1\n", "cpu.cfs_period_us": "100000\n"}
    assert cpu.usable_cores() == 4
    quotas["cpu.cfs_quota_us"] = "100000\n"
    assert cpu.usable_cores() == 1
    quotas.clear()
    assert cpu.usable_cores() == 4


STEP = f"""
import sys
sys.path.insert(0, {str(ROOT)!r})
from common.machine import cpu
print(cpu.description(), file=sys.stderr)
from tests.conftest import make_gan, noise, real
gan = make_gan("dcgan")
for step in range(2):
    values = gan.step(real(step), noise(step), noise(9 + step))
weight = gan.networks["generator"].parameters()[-1].numpy()
print(float(values["loss_d"]), float(values["loss_g"]), *weight[:3, 0, 0, 0])
"""


def test_a_step_is_the_same_with_and_without():
    on, off = call("-c", STEP), call("-c", STEP, GAN_NO_MKL_SETUP="1")
    assert "MKL code path" not in off.stderr
    np.testing.assert_allclose(
        [float(number) for number in on.stdout.split()], [float(number) for number in off.stdout.split()], rtol=2e-3
    )


SET_UP = """
import sys
from common.machine import cpu
assert "paddle" not in sys.modules
print(cpu.description())
"""


def test_what_the_user_set_stays():
    """Importing any part of `common` is enough, and does not import Paddle, whose import would be too late."""
    assert call("-c", SET_UP, MKL_DEBUG_CPU_TYPE="5").stdout.strip().endswith("MKL code path AVX2")
    assert call("-c", SET_UP, OMP_NUM_THREADS="1").stdout.startswith("1 thread,")


def test_a_flag_wins_over_the_environment(monkeypatch):
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    cpu.use_threads(3)
    assert cpu.description().startswith("3 threads")
    cpu.use_threads(None)
    assert cpu.description().startswith("3 threads")
    cpu.use_threads(1)
    assert cpu.description().split(",")[0] == "1 thread"


def test_never_more_threads_than_cores(monkeypatch, capsys):
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    cpu.use_threads(5000)
    assert cpu.threads == 4
    assert capsys.readouterr().err == "note: 5000 threads were asked for; there are 4 cores, so 4 are used\n"
    cpu.use_threads(4)
    assert capsys.readouterr().err == ""
    assert cpu.wished_threads("5000") == 4
    assert cpu.wished_threads("3") == 3


def test_processes_share_the_cores(monkeypatch):
    """Under the launcher, whose own import of Paddle leaves OMP_NUM_THREADS=1 behind."""
    monkeypatch.setattr(cpu, "usable_cores", lambda: 8)
    assert cpu.wished_threads("") == 8
    assert cpu.wished_threads("nonsense") == cpu.wished_threads("0") == 8
    assert cpu.wished_threads("1") == 1
    assert cpu.wished_threads("1", paddle_is_imported=True) == 8  # Paddle's own
    assert cpu.wished_threads("2", paddle_is_imported=True) == 2
    for processes, threads in ((2, 4), (16, 1)):
        monkeypatch.setenv("PADDLE_TRAINERS_NUM", str(processes))
        assert cpu.wished_threads("1") == threads


def test_paddle_first_is_no_harm():
    """A script that imports Paddle before `common`: Paddle's OMP_NUM_THREADS=1 is taken for nobody's wish."""
    code = "import paddle\nfrom common.machine import cpu\nprint(cpu.threads, cpu.usable_cores())"
    threads, cores = call("-W", "ignore", "-c", code, OMP_NUM_THREADS="").stdout.split()
    assert threads == cores
