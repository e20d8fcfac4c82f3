"""The finance pages: they know accounts by pseudonym only and never see a name."""
