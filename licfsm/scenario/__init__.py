"""A timeline replayed through `License` on a simulated clock: trace, expectations, account."""
