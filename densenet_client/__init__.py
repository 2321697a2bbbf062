"""Client of the service: send images, get classes."""
