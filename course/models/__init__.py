"""One file a model. Each holds, in this order: what is new, the config, its own parts, the model, its task classes, and
HF_NAMES, the table from the names in checkpoints to ours."""
