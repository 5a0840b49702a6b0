"""What the mirror is measured against: other ways to depth, on the same frozen CLIP."""
