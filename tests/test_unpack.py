"""What is handed in, as anyone may have made it."""

from __future__ import annotations

import io
import os
import tokenize
import zipfile

from assignment.student import CODE
from assignment.unpack import Refused, code, name_of, submission, text
from tests.students import GbkInfo, write_zip

import pytest

FILES = {"submission.json": b"{}", "report.md": "答案".encode(), **{f"code/{name}": b"x = 1\n" for name in CODE}}


@pytest.mark.parametrize("base", ["", "my homework/", "作业_王小明/第1次/"])
def test_a_zip_below_any_folder(base, tmp_path):
    write_zip(tmp_path / "a.zip", {**FILES, "code/other.py": b"never read"}, base, GbkInfo)
    assert submission(tmp_path / "a.zip") == FILES


def test_a_folder_and_a_folder_with_a_zip(tmp_path):
    for name, content in FILES.items():
        path = tmp_path / "plain/inside" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
    (tmp_path / "packed").mkdir()
    write_zip(tmp_path / "packed/a.zip", FILES)
    assert submission(tmp_path / "plain") == submission(tmp_path / "packed") == FILES


def test_a_students_zip_beside_what_a_mac_adds(tmp_path):
    for name in ("a/x.ZIP", "b/inside/x.zip"):
        (tmp_path / name).parent.mkdir(parents=True)
        write_zip(tmp_path / name, FILES)
    for name in ("a/._x.ZIP", "b/__MACOSX/._x.zip", "b/__MACOSX/x.zip"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"mac")
    assert submission(tmp_path / "a") == submission(tmp_path / "b") == FILES
    write_zip(tmp_path / "c.zip", {**FILES, "__MACOSX/submission.json": b"mac", "__MACOSX/._submission.json": b"mac"})
    assert submission(tmp_path / "c.zip") == FILES


def test_several_in_one_are_refused_and_not_left_out(tmp_path):
    """A class in one folder, or the platform's own zip of all."""
    (tmp_path / "twice").mkdir()
    for name in ("a", "b"):
        write_zip(tmp_path / f"twice/{name}.zip", FILES)
        (tmp_path / "class" / name).mkdir(parents=True)
        (tmp_path / "class" / name / "submission.json").write_text("{}")
    write_zip(tmp_path / "class.zip", {"a/submission.json": b"{}", "b/submission.json": b"{}"})
    write_zip(tmp_path / "packed.zip", {"a.zip": (tmp_path / "twice/a.zip").read_bytes()})
    os.mkfifo(tmp_path / "pipe")
    whys = {
        "twice": r"2 zips in it \(a\.zip, b\.zip\)",
        "class": "2 submissions in it",
        "class.zip": "2 submissions in it",
        "packed.zip": r"only a zip in it \(a\.zip\); unpack it once",
        "pipe": "no regular file",
    }
    for name, why in whys.items():
        with pytest.raises(Refused, match=why):
            submission(tmp_path / name)


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/x", "C:\\x", "..\\x"])
def test_names_that_lead_out(name, tmp_path):
    write_zip(tmp_path / "a.zip", {**FILES, name: b""})
    with pytest.raises(Refused, match="leads out"):
        submission(tmp_path / "a.zip")


def test_sizes_that_are_too_large(tmp_path):
    write_zip(tmp_path / "a.zip", {**FILES, "report.md": bytes(9 * 2**20)})
    write_zip(tmp_path / "b.zip", {**FILES, "code/model.py": bytes(2**17)})
    write_zip(tmp_path / "c.zip", {**FILES, **{f"{number}.txt": b"" for number in range(501)}})
    write_zip(tmp_path / "d.zip", {**FILES, "dcgan/losses.csv": bytes(5 * 2**20)})
    for path in tmp_path.iterdir():
        with pytest.raises(Refused, match=r"more than|files in it"):
            submission(path)


def test_a_size_that_is_a_lie(tmp_path):
    """The directory says 9 bytes, the content has more: what is read is bounded, too."""
    path = tmp_path / "a.zip"
    write_zip(path, {**FILES, "report.md": bytes(9 * 2**20)})
    content = path.read_bytes()
    path.write_bytes(content.replace((9 * 2**20).to_bytes(4, "little"), (9).to_bytes(4, "little")))
    with pytest.raises(Refused):
        submission(path)


def test_links(tmp_path):
    (tmp_path / "folder").mkdir()
    (tmp_path / "folder/submission.json").write_bytes(b"{}")
    (tmp_path / "folder/report.md").symlink_to("/etc/hosts")
    (tmp_path / "link.zip").symlink_to("/etc/hosts")
    for path in (tmp_path / "folder", tmp_path / "link.zip"):
        with pytest.raises(Refused, match="link"):
            submission(path)


@pytest.mark.parametrize("content", [b"", b"Rar!\x1a\x07\x00", b"PK\x03\x04 and no more"])
def test_what_is_no_zip(content, tmp_path):
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Refused, match="no zip"):
        submission(tmp_path / "a.zip")


@pytest.mark.parametrize("method", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
def test_a_zip_packed_in_another_way(method, tmp_path):
    """Damaged, it would raise what only its own module knows."""
    with zipfile.ZipFile(tmp_path / "a.zip", "w", method) as archive:
        for name, content in FILES.items():
            archive.writestr(name, content)
    with pytest.raises(Refused, match=f"packed by method {method}"):
        submission(tmp_path / "a.zip")


def test_a_zip_with_a_password(tmp_path):
    write_zip(tmp_path / "a.zip", FILES)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, place in ((b"PK\x03\x04", 6), (b"PK\x01\x02", 8)):  # the flag "encrypted", in both headers of each entry
        start = content.find(mark)
        while start >= 0:
            content[start + place] |= 1
            start = content.find(mark, start + 1)
    (tmp_path / "a.zip").write_bytes(content)
    with pytest.raises(Refused, match="no zip that can be read"):
        submission(tmp_path / "a.zip")


def test_what_is_read_of_a_program_is_what_runs():
    """Its own word for its encoding made a comment of one what was code of the other: `# +AAo-import os` in UTF-7."""
    for said in (
        b"# -*- coding: utf-7 -*-\n",
        b"\r# vim: set fileencoding=utf_7 :\r",
        b"#\r\n\f# coding=gbk\n",
        b"#coding:utf-7",
    ):
        content = said + b"\nx = '\xe5\x88\xa4'\n"
        written = code(content).encode()
        assert tokenize.detect_encoding(io.BytesIO(written).readline)[0] in ("utf-8", "utf-8-sig")
        assert compile(written, "a.py", "exec").co_consts[0] == "判"
    assert code("# coding: gbk\nx = '判'\n".encode("gbk")) == "# coding: utf-8\nx = '判'\n"


def test_names_that_an_archiver_wrote_twice():
    """WinRAR writes a UTF-8 name beside the one in GBK: Python 3.12 takes it, and CP437 does not have its letters."""
    entry = zipfile.ZipInfo("作业/submission.json".encode("gbk").decode("cp437"))
    entry.filename = "作业/submission.json"
    assert name_of(entry) == "作业/submission.json"


def test_texts_of_any_editor():
    for encoding in ("utf-8", "utf-8-sig", "gbk", "gb18030"):
        assert text("判别器 ½".replace("½", "").encode(encoding)) == "判别器 "
