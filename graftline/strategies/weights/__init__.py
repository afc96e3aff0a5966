"""Transfer of source weights to the target's network, head surgery, and training of the result."""
