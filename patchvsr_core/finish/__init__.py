"""What corrects decoded frames."""
