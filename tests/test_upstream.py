"""`docs/upstream/`: faults of Paddle, VisualDL and paddle2onnx that something here avoids. When one is mended, its test
fails and says so."""

from __future__ import annotations

import importlib.util
import json
import re

from tests.conftest import ROOT, call

import paddle
import pytest

FOLDER = ROOT / "docs/upstream"
# Each script, and what tells its fault from another error.
FAULTS = {
    "paddle_second_backward": "signal 11",
    "paddle_pylayer_inputs": "should return None",
    "paddle_second_derivatives": "AssertionError: ['Conv2DTranspose', 'BatchNorm2D', 'MaxPool2D']",
    "paddle_to_tensor_memory": "MB for 20,000 calls",
    "paddle_lerp_memory": "MB for 20,000 calls",
    "paddle_index_select_uint8": "is not registered",
    "paddle_flops": "paddle.flops",
    "visualdl_names_merged": "['run', 'run']",
    "visualdl_dark_picture": "(np.uint8(255), np.uint8(255))",
    "visualdl_half_record": "LogReader(",
    "visualdl_hparams_bool": "Expected an int, got a boolean",
    "visualdl_embeddings_list": "/epoch 1'",
    "visualdl_embeddings_labels": "AssertionError: b'",
    "visualdl_curves": "`np.float` was a deprecated alias",
    "visualdl_graph": "temp.pdmodel",
    "paddle2onnx_leaky_relu": "AssertionError: [",
}
newest = pytest.mark.skipif(paddle.__version__.startswith("2."), reason="older versions have other faults")


def scripts() -> list[str]:
    """The scripts whose packages are here."""
    onnx = importlib.util.find_spec("paddle2onnx") is not None
    return [name for name in FAULTS if onnx or not name.startswith("paddle2onnx")]


@pytest.fixture(scope="module")
def ended() -> dict[str, str]:
    done = call("-m", "tests.upstream", *(FOLDER / f"{name}.py" for name in scripts()))
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@newest
@pytest.mark.parametrize("name", FAULTS)
def test_the_fault_is_still_there(ended, name):
    if name not in scripts():
        pytest.skip("needs paddle2onnx: pip install -r requirements-export.txt")
    how = ended[str(FOLDER / f"{name}.py")]
    assert how, f"{name}.py ends well: it is mended. docs/upstream/README.md names what can go once no older one is met"
    assert FAULTS[name] in how


PAGES = ["README.md", "README.zh-CN.md"]


def rows(page: str) -> list[tuple[str, str, str]]:
    """Of a page's table: script, file of ours, and what stands in it."""
    text = (FOLDER / page).read_text(encoding="utf-8")
    return re.findall(r"^\| \[`(\w+)\.py`\].*\| \[`([^`\[]+)`\]\([^)]*\)[:：] ?`([^`]+)` \|$", text, re.M)


@pytest.mark.parametrize("page", PAGES)
def test_a_page_names_every_script_and_a_line_of_ours(page):
    assert {path.stem for path in FOLDER.glob("*.py")} == {*FAULTS}
    assert sorted(row[0] for row in rows(page)) == sorted(FAULTS)
    for name, file, line in rows(page):
        assert line in (ROOT / file).read_text(encoding="utf-8"), (name, file, line)
