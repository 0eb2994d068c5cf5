"""From what is typed to a checked config: the only part that knows Hydra and OmegaConf."""
