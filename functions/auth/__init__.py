"""Accounts and tokens: `auth.register`, `auth.login`, `auth.refresh`, `auth.logout`."""
