"""Profiles: `user.get`, `user.update`, `user.search`."""
