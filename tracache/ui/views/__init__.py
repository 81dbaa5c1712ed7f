"""What the page shows, as HTML and sentences, by what it is about."""
