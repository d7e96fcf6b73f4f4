"""What a command raises when it cannot do what was asked; the message is printed as it is."""


class CommandFailed(Exception):
    """Ends the command with `exit_code` and `message` on standard error."""

    def __init__(self, message: str, exit_code: int = 1) -> None:
        super().__init__(message)
        self.exit_code = exit_code
