"""How the pocket models were made: one script a model."""
