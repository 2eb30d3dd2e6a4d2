"""The pages as a reader meets them: punctuation, links that lead somewhere, the glossary's words, true quotes."""

from __future__ import annotations

import json
import re
from pathlib import Path

from common.run.families import builder, families
from common.run.flags import flag_of, parse_flags
from tests.conftest import ROOT

import pytest

NOTEBOOKS = sorted(path.relative_to(ROOT).as_posix() for path in (ROOT / "notebooks").glob("*.ipynb"))
NOT_OURS = {"work", "log"}  # what runs and launchers write


def markdown_files() -> list[str]:
    """Every Markdown file of the repository, from its root."""
    found = [*ROOT.glob("*.md")]
    for folder in ROOT.iterdir():
        if folder.is_dir() and folder.name not in NOT_OURS and folder.name[0] != "." and not is_environment(folder):
            found += folder.rglob("*.md")
    return sorted(path.relative_to(ROOT).as_posix() for path in found)


def is_environment(folder: Path) -> bool:
    return (folder / "pyvenv.cfg").exists()


PAGES = markdown_files()
IN_CHINESE = [name for name in PAGES if name.endswith(".zh-CN.md")]


def text_of(name: str) -> str:
    """The Markdown of a page, or of all Markdown cells of a notebook."""
    text = (ROOT / name).read_text(encoding="utf-8")
    if not name.endswith(".ipynb"):
        return text
    cells = json.loads(text)["cells"]
    return "\n\n".join("".join(cell["source"]) for cell in cells if cell["cell_type"] == "markdown")


def without(text: str, pattern: str, instead: str = "") -> str:
    """`text` with what `pattern` finds replaced, its lines kept where they are."""
    return re.sub(pattern, lambda found: instead + "\n" * found.group().count("\n"), text, flags=re.M | re.S)


FENCES = r"^ *(```+|~~~+).*?^ *\1 *$"
CODE = r"(`+)(?!`).+?(?<!`)\1(?!`)"


HAN = r"[\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]"
# D(x), N(0, 1), (½ - 1): formulas are written as formulas are, unless a Chinese character touches them.
INSIDE = r"[^()\n\u3400-\u9fff]*"
FORMULA = rf"(?:(?<=[A-Za-z\dα-ω])\({INSIDE}\)|(?<!{HAN})\((?={INSIDE}[\d½]){INSIDE}\))(?!{HAN})"
HALF_WIDTH = re.compile(rf"{HAN} *[,:;?!()]|[,:;?!()] *{HAN}|{HAN}\"|\"{HAN}|{HAN}\.(?=\s|$)", re.M)


def prose(text: str) -> str:
    """What is left of Markdown without code, formulas, links' targets, addresses and tags."""
    text = without(text, FENCES)
    text = without(text, CODE, "x")
    text = without(text, r"\$\$.+?\$\$|\$[^$\n]+\$", "x")
    text = without(text, r"\]\([^)\s]*\)", "]")
    text = without(text, r"https?://[^\s)>]+", "x")
    text = without(text, r"<[^<>\n]+>")
    text = without(text, r"!?\[|\]|\*+")
    before = None
    while text != before:  # from the inside out
        before, text = text, re.sub(FORMULA, "2", text)
    return text


def half_width(text: str) -> list[str]:
    """The lines of Markdown that have half-width punctuation beside a Chinese character, with their numbers."""
    lines = enumerate(prose(text).splitlines(), 1)
    return [f"{number}: {found.group()}  in  {line}" for number, line in lines for found in HALF_WIDTH.finditer(line)]


@pytest.mark.parametrize("name", [*PAGES, *NOTEBOOKS])
def test_chinese_has_full_width_punctuation(name):
    assert half_width(text_of(name)) == []


@pytest.mark.parametrize(
    ("text", "wrong"),
    [
        ("好,好", True), ("好, but", True), ("so: 好", True), ("好(x)", True), ("好 (x)", True), ("(好)", True),
        ('"好"', True), ("好.", True), ("`a`,好", True), ("[好](a.md),[b](b.md)", True), ("**好**:x", True),
        ("a\n好?\nb", True), ("GPU(好)", True), ("好(2)", True), ("好，好：`a, b`（x）“y”。", False),
        ("```\n好,好\n```", False), ("[好](a,b.md)", False), ("好 https://a.b/c?d 好", False), ("![好](a.png)", False),
        ("1. 好", False), ("$f(x)$ 好", False), ("1,500 步，N(0, 1) 与 (0, 1)", False), ("yes, no · 是，否", False),
        ("log(1 - σ(s)) 在 (D(x) - 1)² 与 D(G(z)) 对", False),
    ],
)  # fmt: skip
def test_what_counts_as_half_width(text, wrong):
    assert bool(half_width(text)) == wrong


def test_a_line_is_named_where_it_stands():
    assert half_width("```\na\n```\n\n好,\n")[0].startswith("5: 好,")


# Links.


def slugs(text: str) -> set[str]:
    """The anchors that GitHub gives a page's headings."""
    found: list[str] = []
    for heading in re.findall(r"^#{1,6} +(.*?) *#*$", without(text, FENCES), re.M):
        plain = re.sub(r"!?\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.lower()).replace(" ", "-")
        found.append(f"{slug}-{found.count(slug)}" if slug in found else slug)
    return {*found, *re.findall(r'<a (?:id|name)="([^"]+)"', text)}


def links(text: str) -> list[str]:
    text = without(without(text, FENCES), CODE)
    inline = re.findall(r"\]\(<?([^)>\s]+)>?(?: +\"[^\"]*\")?\)", text)
    return [*inline, *re.findall(r'(?:src|href)="([^"]+)"', text), *re.findall(r"^\[[^\]]+\]: +(\S+)", text, re.M)]


def dead_links(name: str) -> list[str]:
    """The links of a page that lead to no file, or to no heading, of this repository."""
    dead = []
    for link in links(text_of(name)):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (ROOT / name).parent / path if path else ROOT / name
        there = target.exists() and target.resolve().is_relative_to(ROOT)
        if there and anchor and target.suffix == ".md":
            there = anchor in slugs(target.read_text(encoding="utf-8"))
        if not there:
            dead.append(link)
    return dead


@pytest.mark.parametrize("name", [*PAGES, *NOTEBOOKS])
def test_links_lead_somewhere(name):
    assert dead_links(name) == []


def in_chinese(name: str) -> str:
    """What is Chinese: the whole page, none of it, or the lines with Chinese of what is read in both languages."""
    text = without(text_of(name), r"^.*\[English\]\([^\n]*")  # the switch to the other language
    if name in IN_CHINESE:
        return text
    if name.replace(".md", ".zh-CN.md") in IN_CHINESE:
        return ""
    return "\n".join(line for line in text.splitlines() if re.search(HAN, line))


def test_what_is_read_in_chinese_leads_to_chinese():
    """To the page in Chinese where there is one."""
    wrong = []
    for name in [*PAGES, *NOTEBOOKS]:
        for link in links(in_chinese(name)):
            path = link.partition("#")[0]
            target = (ROOT / name).parent / path if path else ROOT / name
            if target.suffix == ".md" and not re.match(r"[a-z]+:", link):
                wrong += [(name, link)] if target.with_name(f"{target.stem}.zh-CN.md").exists() else []
    assert wrong == [], "\n".join(map(str, wrong))


def test_anchors_are_githubs():
    text = "# A b: `c`, d?\n## 画得有多好？\n## [Two](x.md) words\n# a\n# a\n```\n# no\n```\n"
    assert slugs(text) == {"a-b-c-d", "画得有多好", "two-words", "a", "a-1"}


# What the pages promise.


@pytest.mark.parametrize("name", ["README.md", "README.zh-CN.md"])
def test_a_readme_is_one_screen_and_begins_with_the_assignment(name):
    text = text_of(name)
    assert text.count("\n") <= 120
    order = ["```diff", "images/hero.gif", "docs/watch.html", "images/watch.gif", "make train", "make test", "0.39"]
    order += ["/1_gan"]
    places = [text.index(part) for part in order]
    assert places == sorted(places)
    play = ROOT / "docs/play.html"
    assert ("docs/play.html" in text) == play.exists()


@pytest.mark.parametrize("name", [*(page for page in PAGES if page != "docs/glossary.md"), *NOTEBOOKS])
def test_words_that_the_glossary_has_others_for(name):
    avoided = ["家族", "陌生人", "不饱和", "坍塌", "潜变量", "本笔记", "本Notebook", "for nothing"]
    assert [word for word in avoided if word in text_of(name)] == []


RUNNING = ["docs/running.md", "docs/running.zh-CN.md"]


@pytest.mark.parametrize("name", RUNNING)
def test_every_flag_of_training_has_its_row(name):
    """In two tables: those of the loop, which every family takes, and those of DCGAN and LSGAN."""
    of_families = {family: vars(parse_flags(family, builder(family), [])) for family in families()}
    loops = {frozenset(found) - {"settings"} for found in of_families.values()}
    assert len(loops) == 1
    own = [of_families[family]["settings"] for family in ("dcgan", "lsgan")]
    assert own[0] == own[1]
    tables = re.findall(r"(?:^\| `--.*\n)+", text_of(name), re.M)
    cells = ["\n".join(re.findall(r"^\| (`--.*?) \|", one, re.M)) for one in tables]
    found = [set(re.findall(r"`(--[a-z0-9-]+)`", one)) for one in cells]
    assert found[:2] == [{*map(flag_of, *loops)}, {*map(flag_of, own[0])}]


def program_text() -> str:
    """The program's strings, those that go on over lines joined, what is filled in as `…`."""
    files = [*(ROOT / "common").rglob("*.py"), ROOT / "commands/install.py"]
    text = "\n".join(path.read_text(encoding="utf-8") for path in sorted(files))
    joined = re.sub(r'"\s*\n\s*f?"', "", text)
    return re.sub(r"\{[^{}]*\}", "…", joined)


# Put together from parts, or argparse's own.
PUT_TOGETHER = {
    "DCGAN on cpu", "networks generator", "discriminator", "digits are missing", "done after", "stopped after",
    "unrecognized arguments",
}  # fmt: skip


@pytest.mark.parametrize("name", RUNNING)
def test_the_messages_explained_are_the_programs(name):
    """What stands between `…`, figures and punctuation in the tables of messages is in the program's strings."""
    cells = re.findall(r"^\| `([^`|]*(?:…|!!!|[a-z]{4,} [a-z])[^`|]*)` \|", text_of(name), re.M)
    assert len(cells) > 20
    found = program_text()
    parts = [part.strip() for cell in cells for part in re.split(r"[…;:,()!]|[\d.,/:]*\d[\d.,/%]*|step N", cell)]
    assert [part for part in parts if len(part) > 3 and part not in found and part not in PUT_TOGETHER] == []
