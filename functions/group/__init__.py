"""Groups: who is in them, and who may do what."""
