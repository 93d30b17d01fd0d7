"""Looks at a run: one patch in its final quality, results side by side, plans and motion drawn as pictures."""
