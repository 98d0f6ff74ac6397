"""The finished ad: four clips, captions, voice and music become one file."""
