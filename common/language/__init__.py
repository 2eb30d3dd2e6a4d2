"""What the program says in the reader's language, `_("{n} steps", n=3)`: Chinese (`zh.po`) where the locale says `zh`.

Every Python from 3.6 on must be able to read this file: `common/__init__.py` says with it which Python is needed.
"""

import ast
import gettext
import locale
import os
import re


class Catalogue(gettext.NullTranslations):
    """The messages of a `.po` file, read as it is: no compiled copy has to be kept in step."""

    def _parse(self, file):
        entries = re.findall(r"^msgid (.*?)^msgstr (.*?)(?=^msgid|\Z)", file.read().decode("utf-8"), re.M | re.S)
        self.messages = {unquoted(message): unquoted(translation) for message, translation in entries}
        del self.messages[""]  # the file's own header

    def gettext(self, message):
        """The translation of `message`, or `message` where there is none."""
        return self.messages.get(message, message)


def unquoted(text):
    """The quoted lines of a `.po` file joined, without comments."""
    return "".join(ast.literal_eval(line) for line in text.splitlines() if line.startswith('"'))


def language():
    """The locale to speak in, such as `zh_CN.UTF-8`: of the variables that gettext asks, on Windows of the system."""
    for name in ("LANGUAGE", "LC_ALL", "LC_MESSAGES", "LANG"):
        if os.environ.get(name):
            return os.environ[name].split(":")[0]
    if os.name == "nt":
        import ctypes

        return locale.windows_locale.get(ctypes.windll.kernel32.GetUserDefaultUILanguage(), "")
    return ""


def chinese():
    """The Chinese messages."""
    with open(os.path.join(os.path.dirname(__file__), "zh.po"), "rb") as file:
        return Catalogue(file)


MESSAGES = chinese() if language().lower().startswith("zh") else gettext.NullTranslations()


def _(message, **values):
    """`message` in the reader's language, with `values` in its places."""
    return MESSAGES.gettext(message).format(**values)


class Message(str):
    """A text that files get in English: `Message("{n} steps", n=3)`. The screen gets it by `shown`."""

    def __new__(cls, template, **values):
        """`template` with its values."""
        self = super().__new__(cls, template.format(**values))
        self.shown = _(template, **values)
        return self


def shown(text):
    """A text for the screen, in the reader's language where it is a `Message`."""
    return getattr(text, "shown", text)
