"""Names in figures as they are: Chinese ones, ones with a dollar, ones that are no text."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterable, Iterator

import matplotlib
from matplotlib import font_manager
from matplotlib.ft2font import FT2Font


@contextlib.contextmanager
def lettered(names: Iterable[str]) -> Iterator[dict[str, str]]:
    """While it is entered, figures are made in fonts that have the letters of `names`.

    Yields:
        How each name is to be written in a figure: its dollars escaped, between two of which Matplotlib would read
        mathematics, and as `\\u4e2d` each letter that no font here has.
    """
    names = list(names)
    families, drawable = fonts_for(set("".join(names)))

    def written(letter: str) -> str:
        if letter in drawable:
            return {"$": r"\$"}.get(letter, letter)
        return letter.encode("ascii", "backslashreplace").decode() if letter.isprintable() else repr(letter)[1:-1]

    if families != matplotlib.rcParams["font.family"]:
        # It warns of a font that has one weight alone, as some Chinese ones, also when the figure is saved later.
        logging.getLogger("matplotlib.font_manager").setLevel(logging.ERROR)
    with matplotlib.rc_context({"font.family": families}):
        yield {name: "".join(map(written, name)) for name in names}


def fonts_for(letters: set[str]) -> tuple[list[str], set[str]]:
    """The families of fonts to draw `letters` in, Matplotlib's own first, and those of the letters that they have."""
    usual = font_manager.findfont(font_manager.FontProperties())
    families, drawable = [*matplotlib.rcParams["font.family"]], letters & letters_of(FT2Font(usual))
    wanted = {letter for letter in letters - drawable if letter.isprintable()}
    # Plain ones before others: sans before serif, regular before bold.
    by_plainness = sorted(
        font_manager.findSystemFonts(), key=lambda path: ("Sans" not in path, "Regular" not in path, path)
    )
    for path in by_plainness if wanted else ():
        with contextlib.suppress(Exception):  # a damaged font, or one of a kind that Matplotlib cannot read
            font = FT2Font(path)
            found = wanted & letters_of(font) if font.scalable else set()
            if found:
                font_manager.fontManager.addfont(path)  # its own list may be from before this font was installed
                families.append(font.family_name)
                drawable |= found
                wanted -= found
    return families, drawable


def letters_of(font: FT2Font) -> set[str]:
    """The letters that a font has."""
    return {chr(code) for code in font.get_charmap()} - {"\n", "\t"}
