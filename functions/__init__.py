"""One folder a function; each is deployed alone. They import `shared` and never each other."""
