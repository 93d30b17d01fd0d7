"""What frames and patches take from one another: latents along the motion, attention across space and time."""
