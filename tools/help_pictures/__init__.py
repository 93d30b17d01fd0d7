"""What the pictures of the help pages are made of; ``make_help_pictures.py`` writes them."""
