"""Previews and visualisations: one patch at final quality, results side by side, plans and optical flow as images."""
