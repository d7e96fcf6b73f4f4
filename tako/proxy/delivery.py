"""What one proxy has been told, has confirmed, and is to be told next. Pure state, no I/O.

At most one table is under way to a proxy: what changes meanwhile is told in one message when it has answered, so that a
slow proxy is never behind by more than one.
"""

from dataclasses import dataclass

from tako.model.control import Delta, Table
from tako.proxy.table import TableContent, render_change


@dataclass(slots=True)
class Delivery:
    """Tables and answers of one connection; a new connection begins with a new one."""

    held: tuple[int, TableContent] | None = None
    under_way: tuple[Table | Delta, TableContent] | None = None
    # Generation and reason of the whole table that the proxy could not use, until another is wanted.
    refused: tuple[int, str] | None = None

    @property
    def confirmed(self) -> int:
        """The generation that decides new requests; 0 when nothing was confirmed on this connection."""
        return self.held[0] if self.held else 0

    def next_message(self, generation: int, content: TableContent) -> Table | Delta | None:
        """Return what to send now so that the proxy comes to `content`, or None: nothing to say, or not yet."""
        settled = self.confirmed == generation or (self.refused is not None and self.refused[0] == generation)
        if self.under_way is not None or settled:
            return None
        message = render_change(self.held, generation, content)
        self.under_way, self.refused = (message, content), None
        return message

    def acknowledge(self, generation: int) -> None:
        if self.under_way is not None and self.under_way[0].generation == generation:
            self.held, self.under_way = (generation, self.under_way[1]), None

    def reject(self, generation: int, error: str) -> None:
        if self.under_way is None or self.under_way[0].generation != generation:
            return
        if isinstance(self.under_way[0], Table):
            self.refused = (generation, error)
        else:
            # Whatever it holds is not what we think it holds: a whole table depends on nothing.
            self.held = None
        self.under_way = None
