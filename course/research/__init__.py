"""From texts to a claim: codebook, coders, agreement, machine coding, validation, corrected estimates, methods text."""
