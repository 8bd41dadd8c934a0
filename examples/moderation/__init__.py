"""A hook before `message.send` and `message.edit` that refuses words of a list."""
