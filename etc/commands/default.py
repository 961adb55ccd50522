"""A group of commands that has a default one: ``etc flow street`` means ``etc flow compute street``."""

from typing import Any

from typer.core import TyperGroup


class DefaultCommandGroup(TyperGroup):
    """Passes arguments that do not start with a command's name to ``default``."""

    default = "compute"

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        if args and args[0] not in (*self.commands, *ctx.help_option_names):
            args = [self.default, *args]
        return super().parse_args(ctx, args)
