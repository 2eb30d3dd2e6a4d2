"""A page is in one language: `X.md` in English, `X.zh-CN.md` in Chinese, and both have the same in them."""

from __future__ import annotations

import re

from tests.test_prose import CODE, FENCES, HAN, IN_CHINESE, PAGES, in_chinese, text_of, without

import pytest

PAIRS = [(name.replace(".zh-CN", ""), name) for name in IN_CHINESE]
BOTH = {"docs/glossary.md"}  # a table of both; and the cards of pretrained weights, which stand alone where they go
# In commands: the student's own, and the flag that makes the report English.
OWN = [(r"YOURS|NUMBER|学号|姓名", "_"), (r" --language en\b", "")]


def headings(text: str) -> list[int]:
    return [len(marks) for marks in re.findall(r"^(#+) ", without(text, FENCES), re.M)]


def pictures(text: str) -> list[str]:
    return re.findall(r"!\[[^\]]*\]\(([^)]*)\)", text)


def commands(text: str) -> list[str]:
    """What is in code blocks, without comments."""
    blocks = ["".join(found) for found in re.findall(r"^(```\w*\n)(.*?^)```", text, re.M | re.S)]
    bare = [re.sub(r"^# .*\n| +#.*", "", block, flags=re.M) for block in blocks]
    for pattern, instead in OWN:
        bare = [re.sub(pattern, instead, block) for block in bare]
    return [re.sub(r"\n\n+", "\n", block) for block in bare]


def measured(text: str) -> list[str]:
    """The numbers that are measured: with a decimal point, a thousands separator or a per cent sign."""
    text = without(without(text, r"\]\([^)\s]*\)", "]"), CODE)
    found = re.findall(r"(?<![\w.])\d+(?:,\d{3})*(?:\.\d+)?%?", text)
    return [one for one in found if re.search(r"[.,%]", one)]


def figures(text: str) -> list[str]:
    return sorted({*measured(without(text, FENCES))})


def rows(text: str) -> list[list[str]]:
    """The figures in each row of each table, sorted: in a sentence they may come in another order."""
    return [sorted(measured(row)) for row in re.findall(r"^\|.*\|$", without(text, FENCES), re.M)]


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
@pytest.mark.parametrize("part", [headings, pictures, commands, figures, rows])
def test_both_languages_have_the_same(english, chinese, part):
    assert part(text_of(chinese)) == part(text_of(english))


@pytest.mark.parametrize(("english", "chinese"), PAIRS)
def test_each_leads_to_the_other_on_top(english, chinese):
    for name, other, label in ((english, chinese, "简体中文|中文"), (chinese, english, "English")):
        top = "\n".join(text_of(name).splitlines()[:4])
        assert re.search(rf"\[(?:{label})\]\({re.escape(other.rpartition('/')[2])}\)", top), name


@pytest.mark.parametrize("name", [name for name in PAGES if name not in {*BOTH, *IN_CHINESE}])
def test_an_english_page_is_english(name):
    if "/pretrained/" in name:
        pytest.skip("a card, which goes where it is the only page")
    text = re.sub(r"\[(?:简体)?中文\]\([^)]*\)", "", without(text_of(name), FENCES))
    text = without(without(text, r"\[[^\]]*\]\(https?:[^)]*\)"), "「[^」]*」")  # a title, a button of AI Studio
    assert re.findall(f"{HAN}+", text) == []


def test_the_cards_and_the_glossary_are_the_only_pages_in_both():
    mixed = {name for name in PAGES if name not in IN_CHINESE and in_chinese(name)}
    assert {name for name in mixed if "/pretrained/" not in name} <= BOTH


@pytest.mark.parametrize(
    ("part", "one", "other"),
    [
        (headings, "# a\n## b\n", "# 甲\n### 乙\n"), (pictures, "![a](b.png)", "![甲](c.png)"),
        (commands, "```bash\nmake a  # b\n```\n", "```bash\nmake b  # b\n```\n"), (figures, "1.5", "1.6"),
        (figures, "5% of 1,000", "5% 的 2,000"), (rows, "| 1.0 | 2.0 |", "| 1.0 | 3.0 |"),
    ],
)  # fmt: skip
def test_what_differs_is_found(part, one, other):
    assert part(one) != part(other)
