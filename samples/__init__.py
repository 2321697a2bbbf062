"""The project's own pictures, and the script that draws them."""
