"""Networks that find faces and landmarks, layer by layer as their papers have them (spec 95)."""
