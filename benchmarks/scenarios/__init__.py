"""The scenarios: each measures one peer once, and returns figures by name."""
