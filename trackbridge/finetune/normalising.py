"""When two texts count as one: folds keep equal texts together, pseudo-labels keep them out."""

from __future__ import annotations

import unicodedata


def normalised(text: str) -> str:
    """The text without what makes it no other text: letter case, width, ligatures, and how much space is where.

    Source: Unicode Standard Annex 15 (NFKC) around full case folding, section 3.13 of the standard. Punctuation stays.
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    # folding can undo the normal form, as it does for some letters with an iota below
    return " ".join(unicodedata.normalize("NFKC", folded).split())
