"""Training: settings, the loop, what it is made of."""
