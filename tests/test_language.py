"""What the program says in Chinese: the catalogue and the code have the same messages, and a training speaks them."""

from __future__ import annotations

import ast
import json
import string

from common import data, language
from common.errors import UserError
from common.language import Message, chinese
from common.run.commandline import Parser, whole_number
from common.run.runs import load_config, load_losses
from tests.conftest import ROOT, call

import pytest

CHINESE = chinese().messages
SPEAKING = ("common", "commands", "dcgan", "lsgan", "zoo")


def said_in_the_code() -> set[str]:
    """The texts in `_("...")` and `Message("...")`, anywhere in the repository's programs."""
    found = set()
    for folder in SPEAKING:
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                if isinstance(node, ast.Call) and getattr(node.func, "id", "") in ("_", "Message"):
                    found |= {node.args[0].value} if isinstance(node.args[0], ast.Constant) else set()
    return found


def test_the_catalogue_and_the_code_have_the_same_messages():
    assert set(CHINESE) == said_in_the_code()
    assert len(CHINESE) > 40


@pytest.mark.parametrize("message", sorted(CHINESE))
def test_a_translation_has_the_same_places_for_values(message):
    def places(text: str) -> set[tuple]:
        return {(name, form) for _, name, form, _ in string.Formatter().parse(text) if name is not None}

    assert places(CHINESE[message]) == places(message)
    assert CHINESE[message].strip()


@pytest.mark.parametrize(
    ("variables", "spoken"),
    [
        ({}, ""), ({"LANG": "zh_CN.UTF-8"}, "zh_CN.UTF-8"), ({"LANG": "zh_CN.UTF-8", "LC_ALL": "C"}, "C"),
        ({"LANG": "en_US.UTF-8", "LANGUAGE": "zh_CN:en"}, "zh_CN"),
    ],
)  # fmt: skip
def test_the_language_is_that_of_the_locale(monkeypatch, variables, spoken):
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert language.language() == spoken


def test_a_message_is_english_in_files_and_chinese_on_the_screen(monkeypatch):
    monkeypatch.setattr(language, "MESSAGES", chinese())
    message = Message("{minutes:.0f} minutes", minutes=3)
    assert json.dumps(message) == '"3 minutes"'
    assert language.shown(message) == "3 分钟"
    assert language.shown("as it is") == "as it is"


def test_a_training_and_an_error_in_chinese(tmp_path):
    flags = ["--dataset", "digits", "--max-steps", 2, "--batch-size", 8, "--eval-every", 0, "--output-dir", tmp_path]
    chinese_locale = {"LC_ALL": "zh_CN.UTF-8", "LANGUAGE": "zh"}
    done = call("dcgan/train.py", *flags, cwd=ROOT, **chinese_locale)
    assert (done.returncode, done.stderr) == (0, "")
    lines = done.stdout.splitlines()
    assert "数据     digits，1,797 张图像" in lines
    assert "训练     2 步，每步 8 张图像，随机种子 42" in lines
    assert any(line.startswith("训练完成，共 2 步。") for line in lines)
    assert not any("\u4e00" <= letter <= "\u9fff" for letter in (tmp_path / "config.json").read_text(encoding="utf-8"))
    refused = call(
        "-m", "commands.sample", tmp_path / "nothing", "--out", tmp_path / "a.png", cwd=ROOT, **chinese_locale
    )
    assert refused.returncode == 2
    assert refused.stderr.startswith("错误：")
    assert refused.stderr.endswith("请给出训练的输出文件夹，例如 work/dcgan\n")


@pytest.mark.parametrize(
    ("flags", "said"),
    [
        (["--number"], "参数 --number 后面缺少值"),
        (["--number", "x"], "参数 --number：'x' 不是整数"),
        (["--number", "0"], "参数 --number：0 太小，至少为 1"),
        (["--colour", "red"], "参数 --colour 不能是 'red'，可选："),
        ([], "缺少参数：--number"),
        (["--number", "1", "—colour"], "没有这样的参数：—colour；“—”不是英文的连字符或空格"),
        (["--number", "1", "　--colour"], "；“　”不是英文的连字符或空格"),
    ],
)
def test_a_wrong_flag_in_chinese(monkeypatch, capsys, flags, said):
    monkeypatch.setattr(language, "MESSAGES", chinese())
    parser = Parser(prog="play")
    parser.add_argument("--number", type=whole_number(1), required=True)
    parser.add_argument("--colour", choices=["white", "black"])
    with pytest.raises(SystemExit):
        parser.parse_args(flags)
    found = capsys.readouterr().err
    assert said.replace("'", "") in found.replace("'", "")  # Python 3.12 quotes no choices
    assert found.endswith("（用 --help 查看所有参数）\n")


@pytest.mark.parametrize(
    ("raising", "said"),
    [
        (lambda folder: data.load("folder", folder), "--data-dir {}：里面没有图片；"),
        (lambda folder: data.load("mnist", folder), "--data-dir {}：里面没有 train-images-idx3-ubyte.gz，"),
        (load_config, "{}/config.json：No such file or directory；请给出训练的输出文件夹，"),
        (load_losses, "{}/losses.csv：No such file or directory；请给出训练的输出文件夹，"),
    ],
)
def test_what_is_wrong_with_a_folder_is_said_in_chinese(monkeypatch, tmp_path, raising, said):
    monkeypatch.setattr(language, "MESSAGES", chinese())
    with pytest.raises(UserError) as refused:
        raising(tmp_path)
    assert str(refused.value).startswith(said.format(tmp_path))


def test_where_a_text_is_translated_the_name_of_the_translator_is_not_another_thing():
    """`for _ in range(3)` in the same function would make `_` a number."""
    for path in [path for folder in SPEAKING for path in (ROOT / folder).rglob("*.py")]:
        for function in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(function, ast.FunctionDef):
                names = [node for node in ast.walk(function) if isinstance(node, ast.Name) and node.id == "_"]
                kinds = {type(node.ctx) for node in names}
                assert kinds != {ast.Load, ast.Store}, f"{path}: {function.name}"
