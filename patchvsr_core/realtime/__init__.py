"""Networks that upscale frame by frame, as fast as they come."""
