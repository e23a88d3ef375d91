"""YAML with positions, made into attrs values: policies and scenarios."""
