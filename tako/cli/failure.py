"""What a command raises when it cannot do what was asked."""


class CommandFailed(Exception):
    """Ends the command with `exit_code`.

    Every line of `message` is a fault of its own; `hint` says what to do about them.
    """

    def __init__(self, message: str, exit_code: int = 1, hint: str = "") -> None:
        super().__init__(message)
        self.exit_code = exit_code
        self.hint = hint
