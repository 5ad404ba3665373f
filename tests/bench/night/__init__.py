"""How long a night with a kept model takes, beside Qlib's own ways."""
