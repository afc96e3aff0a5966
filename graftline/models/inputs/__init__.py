"""Input contracts and the preprocessing of images."""
