"""Names of files that are no text: GBK bytes, as a folder unzipped from a Chinese Windows has them on Linux.

Python keeps such bytes as surrogates, by which every file is found, and which UTF-8 refuses. In JSON a surrogate's
escape, `\\udcd6`, is read back as the surrogate.
"""

from __future__ import annotations


def encoded(text: str) -> bytes:
    """`text` as UTF-8, surrogates as their escapes."""
    return text.encode(errors="backslashreplace")


def readable(text: str) -> str:
    """`text` for those who take no surrogates: VisualDL, web pages, figures."""
    return encoded(text).decode()
