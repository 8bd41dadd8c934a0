"""As the tree above, plus `system`: the whole system, and its faults."""
