"""One license's two months, lived through in seconds against a real license server and a real mail server."""
