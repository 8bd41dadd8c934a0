"""A feature of Stonechat."""
