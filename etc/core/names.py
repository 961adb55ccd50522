"""The names that become part of commands, paths and stage names: data sets, architectures and schemes."""

import re
from typing import Annotated, Any

from pydantic import AfterValidator

# '-' joins names in stage names; a shell or a path would read other characters in its own way.
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{0,49}")
RULE = "use only letters, digits and '_', with a letter first, and at most 50 characters"


def check_name(name: Any) -> Any:
    """Return ``name`` if it may be part of a command or a path.

    Raises:
        ValueError: it may not; the message is the rule.
    """
    if not (isinstance(name, str) and _NAME.fullmatch(name)):
        raise ValueError(RULE)
    return name


def check_distinct(names: list[str]) -> list[str]:
    """Return ``names`` if no two are the same, also for file systems that ignore case.

    Raises:
        ValueError: two are.
    """
    seen: set[str] = set()
    for name in names:
        if name.casefold() in seen:
            raise ValueError(f"'{name}' is listed twice")
        seen.add(name.casefold())
    return names


Name = Annotated[str, AfterValidator(check_name)]
