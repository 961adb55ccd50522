"""Names of clips: made safe for file names, patterns and tables, and a few of many for messages."""

import hashlib
import re
import unicodedata
from collections import Counter
from collections.abc import Iterable
from itertools import islice

_LONGEST = 80


def first_names(names: Iterable[str]) -> str:
    """The first three names, for messages."""
    first = [name or "files without a clip name" for name in islice(names, 4)]
    return ", ".join(first[:3] + ["..."] * (len(first) > 3))


def safe_names(names: Iterable[str], keep: str = "") -> dict[str, str]:
    """A name of letters, digits and _ for each name; it depends on the other names only where two become equal.

    Args:
        names: without duplicates, e.g. paths below a root.
        keep: further characters that may stay, but not in front.

    Returns:
        name to safe name, unique even where case is ignored. Accents are dropped; an empty name becomes ``clip``.
        Names that would be equal or empty get eight digits of the hash of the original name.
    """
    plain = {name: _plain(name, keep) if name else "clip" for name in names}
    count = Counter(safe.lower() for safe in plain.values())
    return {
        name: safe if safe and count[safe.lower()] == 1 else f"{safe or 'clip'}_{_hash(name)}"
        for name, safe in plain.items()
    }


def _plain(name: str, keep: str) -> str:
    # NFKD separates a letter from its accent, which is then dropped.
    letters = "".join(one for one in unicodedata.normalize("NFKD", name) if not unicodedata.combining(one))
    safe = re.sub(rf"[^A-Za-z0-9_{re.escape(keep)}]+", "_", letters)
    return (safe if safe == letters else safe.strip("_")).lstrip(keep + "_" * (safe != letters))[:_LONGEST]


def _hash(name: str) -> str:
    return hashlib.blake2b(name.encode("utf-8", "surrogateescape"), digest_size=4).hexdigest()
