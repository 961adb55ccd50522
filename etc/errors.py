"""The one exception that means: the input is wrong, and this line says how to put it right."""


class UserError(Exception):
    """Bad input. The message is one line that names the file, row or key, the value and the remedy."""
