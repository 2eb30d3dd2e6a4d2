"""What importing `common` sets up before Paddle is imported."""

from __future__ import annotations

import os
import platform
import sys

from common.machine import cgroup, cpu, memory
from tests.conftest import ROOT, call

import numpy as np
import pytest

AMD = "processor : 0\nvendor_id : AuthenticAMD\nmodel name : AMD EPYC 7B13\nflags : fpu sse2 {}\n"
INTEL = AMD.replace("AuthenticAMD", "GenuineIntel").replace("AMD EPYC 7B13", "Intel(R) Xeon(R) CPU @ 2.60GHz")
ARM = "processor : 0\nCPU implementer : 0x41\nFeatures : asimd\n"  # no vendor, no name


@pytest.mark.parametrize(
    ("cpuinfo", "path"),
    [
        (AMD.format("avx avx2 avx512f"), "7"),
        (AMD.format("avx avx2"), "5"),
        (AMD.format("avx"), None),
        (AMD.format("avx512f").replace("AuthenticAMD", "HygonGenuine"), "7"),
        (INTEL.format("avx avx2 avx512f"), None),
        (ARM, None),
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
from common.run.families import builder
import numpy as np, paddle
paddle.seed(0)
gan, rng = builder("dcgan")(), np.random.default_rng(0)
for step in range(2):
    drawn = [rng.standard_normal(shape, dtype=np.float32) for shape in ((8, 1, 32, 32), *2 * [(8, 100, 1, 1)])]
    values = gan.step(*map(paddle.to_tensor, drawn))
weight = gan.networks["generator"].parameters()[-1].numpy()
print(float(values["loss_d"]), float(values["loss_g"]), *weight[:3, 0, 0, 0])
"""


def test_a_step_is_the_same_with_and_without():
    """Of MKL's code path that is set here, if this is a processor for which one is."""
    on, off = (call("-c", STEP, MKL_DEBUG_CPU_TYPE="", GAN_NO_MKL_SETUP=switch) for switch in ("", "1"))
    assert "MKL code path" not in off.stderr
    assert ("MKL code path" in on.stderr) == (cpu.mkl_code_path(cpu.CPUINFO.read_text()) is not None)
    numbers = [[float(number) for number in done.stdout.split()] for done in (on, off)]
    assert [len(found) for found in numbers] == [5, 5], on.stderr + off.stderr
    np.testing.assert_allclose(*numbers, rtol=2e-3)


SET_UP = """
import sys
from common.machine import cpu
assert "paddle" not in sys.modules
print(cpu.description())
"""


def test_importing_any_part_of_common_is_enough():
    """And does not import Paddle, whose import would be too late."""
    assert call("-c", SET_UP, OMP_NUM_THREADS="1", MKL_DEBUG_CPU_TYPE="5").stdout == "1 thread, MKL code path AVX2\n"


@pytest.fixture
def set_up(monkeypatch, tmp_path):
    """`set_up(cpuinfo, **environment)`: what is chosen on such a processor, in such an environment."""

    def described(cpuinfo: str | None, **environment: str) -> str:
        path = tmp_path / "cpuinfo"
        if cpuinfo is not None:
            path.write_text(cpuinfo)
        monkeypatch.setattr(cpu, "CPUINFO", path)
        for name in ("MKL_DEBUG_CPU_TYPE", "OMP_NUM_THREADS", "KMP_BLOCKTIME", cpu.OFF_SWITCH, cpu.USERS):
            monkeypatch.setenv(name, "")  # put back at the end, whatever is set up here
            monkeypatch.delenv(name)
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        cpu.prepare()
        return cpu.description()

    return described


PROCESSORS = {
    "intel": (INTEL.format("avx avx2 avx512f"), "", "Intel(R) Xeon(R) CPU @ 2.60GHz"),
    "amd": (AMD.format("avx avx2"), ", MKL code path AVX2", "AMD EPYC 7B13"),
    "amd with avx-512": (AMD.format("avx avx2 avx512f"), ", MKL code path AVX-512", "AMD EPYC 7B13"),
    "arm": (ARM, "", platform.processor() or platform.machine()),
    "not linux": (None, "", platform.processor() or platform.machine()),
}


@pytest.mark.parametrize(("cpuinfo", "code_path", "name"), PROCESSORS.values(), ids=PROCESSORS)
def test_what_is_set_up_on_each_processor(set_up, monkeypatch, cpuinfo, code_path, name):
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    assert set_up(cpuinfo) == set_up(cpuinfo, OMP_NUM_THREADS="", MKL_DEBUG_CPU_TYPE="") == f"4 threads{code_path}"
    assert cpu.processor() == name
    assert set_up(cpuinfo, OMP_NUM_THREADS="2") == f"2 threads{code_path}"
    assert os.environ["OMP_NUM_THREADS"] == "1"  # Paddle warns of any other
    assert set_up(cpuinfo, MKL_DEBUG_CPU_TYPE="5") == "4 threads, MKL code path AVX2"
    assert set_up(cpuinfo, GAN_NO_MKL_SETUP="1") == "4 threads"


@pytest.mark.parametrize("users", ["", "1", "2"])
def test_what_a_program_starts_has_the_users_threads(set_up, monkeypatch, users):
    """Not the 1 that is set for Paddle: a notebook starts trainings."""
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    monkeypatch.delitem(sys.modules, "paddle")
    first = set_up(None, OMP_NUM_THREADS=users)
    assert os.environ["OMP_NUM_THREADS"] == "1"
    for _ in range(2):  # and what that starts
        cpu.prepare()
        assert cpu.description() == first
    assert first == {"": "4 threads", "1": "1 thread", "2": "2 threads"}[users]


@pytest.mark.parametrize(("users", "found"), [({}, "1"), ({"KMP_BLOCKTIME": "200"}, "200")])
def test_threads_that_wait_go_to_sleep(set_up, users, found):
    """After a millisecond, where nobody has set another time."""
    set_up(None, **users)
    assert os.environ["KMP_BLOCKTIME"] == found


def test_a_flag_wins_over_the_environment(monkeypatch):
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    cpu.set_threads(3)
    assert cpu.description().startswith("3 threads")
    cpu.set_threads(None)
    assert cpu.threads == cpu._prepared  # as many as before the flag
    cpu.set_threads(1)
    assert cpu.description().split(",")[0] == "1 thread"


def test_never_more_threads_than_cores(monkeypatch, capsys):
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    cpu.set_threads(5000)
    assert cpu.threads == 4
    assert capsys.readouterr().err == "note: 5000 threads were asked for; there are 4 cores, so 4 are used\n"
    cpu.set_threads(4)
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


@pytest.mark.parametrize("empty", ["", " "])
def test_an_empty_variable_is_one_that_is_not_set(set_up, monkeypatch, empty):
    """Paddle's own reading of these ends in a `ValueError`."""
    monkeypatch.setattr(cpu, "usable_cores", lambda: 4)
    names = ("PADDLE_TRAINERS_NUM", "PADDLE_LOCAL_SIZE", "PADDLE_TRAINER_ID")
    assert set_up(ARM, **dict.fromkeys(names, empty)) == "4 threads"
    assert not set(names) & set(os.environ)


@pytest.mark.parametrize("text", ["two", "0", "-1", "1.5"])
def test_a_number_of_processes_that_is_none(text):
    done = call("-c", "import common", PADDLE_TRAINERS_NUM=text)
    assert done.returncode == 2
    assert done.stderr.startswith(f"error: $PADDLE_TRAINERS_NUM is '{text}', ")
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(("limit", "expected"), [("8000", 8000 - 7900 + 7500), ("max", sys.maxsize)])
def test_files_that_a_container_has_read_are_no_memory_that_is_taken(monkeypatch, tmp_path, limit, expected):
    files = {"memory.max": limit, "memory.current": "7900", "memory.stat": "anon 400\ninactive_file 7500\n"}
    for name, content in files.items():
        (tmp_path / name).write_text(content)
    monkeypatch.setattr(cgroup, "ROOT", tmp_path)
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "nothing")
    assert memory.free() == expected


@pytest.mark.parametrize(
    ("own", "files", "cores", "bytes_free"),
    [
        ("", {}, 64, sys.maxsize),
        ("nothing that Linux writes", {"cpu.max": "", "memory.max": ""}, 64, sys.maxsize),
        ("0::/", {"cpu.max": "150000 100000", "memory.max": "900", "memory.current": "0"}, 2, 900),
        ("0::/a/b", {"a/cpu.max": "300000 100000", "a/b/cpu.max": "max 100000"}, 3, sys.maxsize),  # that of a service
        ("0::/a/b", {"a/memory.max": "900", "a/memory.current": "1", "a/b/memory.max": "max"}, 64, 899),
        ("0::/not/seen/from/here", {"cpu.max": "100000 100000"}, 1, sys.maxsize),  # as a container's own files say it
        ("4:cpu,cpuacct:/job", {"cpu/job/cpu.cfs_quota_us": "400000\n", "cpu/job/cpu.cfs_period_us": "100000\n"}, 4,
         sys.maxsize),
        ("4:cpu:/", {"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, 64, sys.maxsize),
        ("2:memory:/job", {"memory/job/memory.limit_in_bytes": "70", "memory/job/memory.usage_in_bytes": "0"}, 64, 70),
    ],
)  # fmt: skip
def test_a_limit_of_any_group_above_holds(own, files, cores, bytes_free, monkeypatch, tmp_path):
    for name, content in files.items():
        path = tmp_path / "groups" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    (tmp_path / "own").write_text(own)
    monkeypatch.setattr(cgroup, "ROOT", tmp_path / "groups")
    monkeypatch.setattr(cgroup, "OWN", tmp_path / "own")
    monkeypatch.setattr(memory, "MEMINFO", tmp_path / "nothing")
    monkeypatch.setattr(os, "sched_getaffinity", lambda process: {*range(64)})
    assert (cpu.usable_cores(), memory.free()) == (cores, bytes_free)
