"""What frames know of one another: motion, and what is carried along it."""
