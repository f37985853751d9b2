"""One file a model. Each holds, in this order: what is new, the config, its own parts, the model, its task classes, HF_NAMES."""
