"""Recipes: one file for each published result."""
