"""What is served over HTTPS; needs the extra ``web``. Nothing else in the package knows of it."""
