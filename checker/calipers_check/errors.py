"""The two ways in which a check can fail: the file is no certificate (5), or it does not prove its claim (4)."""


class Unreadable(Exception):
    """The file is missing, is not a certificate, or has a format that this checker does not know."""


class Reject(Exception):
    """The certificate is damaged, speaks of another model, or its claim does not follow; the message is the reason."""
