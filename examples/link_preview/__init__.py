"""Hears of `message.created`, and answers links with cards."""
