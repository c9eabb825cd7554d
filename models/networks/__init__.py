"""Networks that find faces or landmarks, as published files hold them: their names and shapes, and reading them."""
