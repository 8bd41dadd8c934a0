"""What a client reads to be up to date: `message.history`, `conversation.*`."""
