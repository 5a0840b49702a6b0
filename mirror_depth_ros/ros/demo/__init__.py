"""The demo: a camera that plays frames, and a recorder of what the depth node answers."""
