"""The search before the training: a space, a study on it, and the winner. Optuna's only address."""
