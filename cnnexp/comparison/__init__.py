"""Finished runs, compared: who is better, by how much, how surely."""
