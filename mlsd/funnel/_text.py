"""From a text to its terms."""

from __future__ import annotations

import re
import unicodedata

_WORD = re.compile(r"\w+")
# The combining accents of Latin, Greek and Cyrillic only: the marks of other scripts
# (kana voicing, Devanagari vowels) tell words apart.
_ACCENT = re.compile("[\u0300-\u036f]+")


def tokenize(text: str) -> list[str]:
    """Split a text into lower-case words without accents.

    Compatibility forms are unified (NFKD), accents of Latin, Greek and Cyrillic removed, case
    folded, and the maximal runs of letters, digits and underscores returned in their order.
    There is no stemming and no stop list; compose this function with your own for those.
    Scripts without spaces (Chinese, Japanese, Thai), or whose vowels are combining marks
    (Devanagari), need an analyser of their own.

    Parameters
    ----------
    text : str
        Any text; an empty one has no terms.

    Returns
    -------
    list of str
        The terms, repeated as often as they occur.

    Examples
    --------
    >>> from mlsd.funnel import tokenize
    >>> tokenize("Café-Table, 2 m; STRASSE / Straße")
    ['cafe', 'table', '2', 'm', 'strasse', 'strasse']
    """
    if text.isascii():  # most product and web text; folding costs four times the split
        return _WORD.findall(text.lower())
    folded = _ACCENT.sub("", unicodedata.normalize("NFKD", text)).casefold()
    return _WORD.findall(unicodedata.normalize("NFKC", folded))
