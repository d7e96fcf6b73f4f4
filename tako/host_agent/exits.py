"""How a process ended, as far as can be known. Values only; :mod:`tako.adapters.processes` sees them."""

import signal as signals
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class ExitSeen:
    """The end of a process: `code`, or the `signal` that ended it; neither for a process that was adopted."""

    code: int | None = None
    signal: str | None = None

    @classmethod
    def from_wait(cls, si_code_exited: bool, si_status: int) -> "ExitSeen":
        """Translate what waitid reports."""
        if si_code_exited:
            return cls(code=si_status)
        try:
            return cls(signal=signals.Signals(si_status).name)
        except ValueError:  # real-time signals have numbers only
            return cls(signal=f"signal {si_status}")

    def __str__(self) -> str:
        """Complete the sentence "the process …"."""
        if self.code is not None:
            return f"exited with {self.code}"
        if self.signal is not None:
            return f"was ended by {self.signal}"
        return "exited (how is unknown: a former tako-server had started it)"
