"""Networks that upscale frame by frame, as fast as they come: DAP for any video, RDG for renders with their passes."""
